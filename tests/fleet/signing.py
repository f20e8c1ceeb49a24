# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys, and signatures made with them, as release engineers make them: by OpenSSH, and by GnuPG."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def make_ssh_key(path: Path, comment: str = "") -> None:
    """A key pair at `path` and `path`.pub."""
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment or path.name, "-f", str(path))


def signer(name: str, key: Path, options: str = "") -> str:
    """The line of a list of allowed signers that accepts a key's signatures as those of `name`."""
    return f"{name} {options}{key.with_name(f'{key.name}.pub').read_text(encoding='ascii')}"


def sign_by_ssh(artifact: Path, key: Path, namespace: str = "file") -> Path:
    """Sign an artifact; returns the signature beside it, in the place of an older one."""
    signature = artifact.with_name(f"{artifact.name}.sig")
    signature.unlink(missing_ok=True)
    _run("ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(key), str(artifact))
    return signature


class OpenPgp:
    """GnuPG with keys that nobody else has. As a context manager it leaves no agent behind.

    :param home: its folder; made when it is missing. Short, because the agent's socket is in it.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700, exist_ok=True)
        home.chmod(0o700)
        self.home = home
        self.environment = {**os.environ, "GNUPGHOME": str(home)}

    def __enter__(self) -> OpenPgp:
        return self

    def __exit__(self, *_error: object) -> None:
        _run("gpgconf", "--kill", "all", environment=self.environment)

    def make_key(self, name: str, expires: str = "never", when: str | None = None) -> None:
        """A key that signs; `when` is a moment as gpg writes it, in the place of now."""
        self._gpg("--quick-generate-key", name, "ed25519", "sign", expires, when=when)

    def export(self, keyring: Path, *names: str) -> Path:
        """Write the public keys of these names, or all, to a keyring."""
        keyring.write_bytes(self._gpg("--export", *names))
        return keyring

    def sign(self, artifact: Path, name: str, when: str | None = None) -> Path:
        """Sign an artifact; returns the signature beside it."""
        signature = artifact.with_name(f"{artifact.name}.asc")
        self._gpg("--yes", "--armor", "--local-user", name, "--output", str(signature), "--detach-sign", str(artifact), when=when)
        return signature

    def _gpg(self, *arguments: str, when: str | None = None) -> bytes:
        faked = ["--faked-system-time", when] if when else []
        unattended = ["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
        return _run("gpg", *unattended, *faked, *arguments, environment=self.environment)


def _run(*command: str, environment: dict[str, str] | None = None) -> bytes:
    return subprocess.run(command, env=environment, check=True, capture_output=True).stdout
