# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of artifacts, made and judged by the real programs."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._signature import OPENPGP, SSH, SignatureError, require

WHO = "releases@example.com"
NOW, LATER = "20260101T000000", "seconds=86400"


@pytest.fixture
def artifact(tmp_path):
    (tmp_path / "shop.tar.gz").write_bytes(b"the release\0" * 1000)
    return tmp_path / "shop.tar.gz"


class Ssh:
    """Signs as OpenSSH does."""

    def __init__(self, folder):
        self.folder = folder
        self.keys = folder / "allowed_signers"

    def key(self, name, options=""):
        """A new key, and the line of a list of signers that accepts it."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name)], check=True)
        return f"{name} {options}{(self.folder / f'{name}.pub').read_text(encoding='ascii')}"

    def sign(self, path, name, namespace="file"):
        subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(self.folder / name), str(path)], check=True, capture_output=True)
        return path.with_name(f"{path.name}.sig")


@pytest.fixture
def ssh(tmp_path):
    return Ssh(tmp_path)


def test_who_signed_by_ssh(artifact, ssh):
    ssh.keys.write_text(ssh.key("somebody@example.com") + ssh.key(WHO), encoding="ascii")
    signed = require(str(artifact), str(ssh.sign(artifact, WHO)), str(ssh.keys))
    assert (signed.kind, signed.signer) == (SSH, WHO)


def test_another_file_than_the_one_that_was_signed_is_refused(artifact, ssh):
    ssh.keys.write_text(ssh.key(WHO), encoding="ascii")
    signature = ssh.sign(artifact, WHO)
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"x")
    with pytest.raises(SignatureError, match=f"is no signature of .* by {WHO}: "):
        require(str(artifact), str(signature), str(ssh.keys))


@pytest.mark.parametrize(("options", "namespace", "said"), [
    (None, "file", "was not made with a key in"),
    ('namespaces="git" ', "file", "is no signature of"),
    ('valid-before="20200101" ', "file", "was not made with a key in|is no signature of"),
    ("", "git", "is no signature of"),
])
def test_a_key_that_does_not_count_for_this_is_refused(artifact, ssh, options, namespace, said):
    line = ssh.key(WHO, options or "")
    ssh.keys.write_text(ssh.key("else@example.com") if options is None else line, encoding="ascii")
    with pytest.raises(SignatureError, match=said):
        require(str(artifact), str(ssh.sign(artifact, WHO, namespace)), str(ssh.keys))


def test_what_is_missing_is_named(artifact, tmp_path):
    with pytest.raises(SignatureError, match="absent.sig is not there: it should be the signature"):
        require(str(artifact), str(tmp_path / "absent.sig"), str(tmp_path / "keys"))


class OpenPgp:
    """Signs as GnuPG does, with keys that nobody else has."""

    def __init__(self, folder):
        self.folder = folder / "gnupg"
        self.folder.mkdir(mode=0o700)
        self.keys = folder / "keys.gpg"

    def run(self, *arguments, when=None):
        faked = ["--faked-system-time", when] if when else []
        unattended = ["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
        return subprocess.run(["gpg", "--homedir", str(self.folder), *unattended, *faked, *arguments], check=True, capture_output=True).stdout

    def key(self, name, expires="never", when=None):
        self.run("--quick-generate-key", name, "ed25519", "sign", expires, when=when)
        self.keys.write_bytes(self.run("--export"))

    def sign(self, path, name, when=None):
        signature = path.with_name(f"{path.name}.asc")
        self.run("--yes", "--armor", "--local-user", name, "--output", str(signature), "--detach-sign", str(path), when=when)
        return signature

    def end(self):
        """The agent that gpg starts."""
        subprocess.run(["gpgconf", "--homedir", str(self.folder), "--kill", "all"], check=False)


@pytest.fixture
def openpgp(tmp_path_factory):
    if not all(map(shutil.which, ("gpg", "gpgv"))):
        pytest.skip("no gpg and gpgv on this machine: Debian's packages are gpg and gpgv")
    made = OpenPgp(tmp_path_factory.mktemp("pgp"))
    yield made
    made.end()


def test_who_signed_by_openpgp(artifact, openpgp):
    openpgp.key(WHO)
    signed = require(str(artifact), str(openpgp.sign(artifact, WHO)), str(openpgp.keys))
    assert signed.kind == OPENPGP and signed.signer.startswith(f"{WHO} (") and len(signed.signer.rsplit("(", maxsplit=1)[1]) == 41


def test_an_openpgp_signature_that_does_not_fit_or_count_is_refused(artifact, openpgp):
    openpgp.key(WHO)
    signature, keys = openpgp.sign(artifact, WHO), openpgp.keys.read_bytes()
    content = artifact.read_bytes()
    artifact.write_bytes(content + b"x")
    with pytest.raises(SignatureError, match="is no signature of .*BAD signature"):
        require(str(artifact), str(signature), str(openpgp.keys))
    artifact.write_bytes(content)
    openpgp.key("stranger@example.com")
    stranger = openpgp.sign(artifact, "stranger@example.com")
    openpgp.keys.write_bytes(keys)
    with pytest.raises(SignatureError, match="is no signature of .*No public key"):
        require(str(artifact), str(stranger), str(openpgp.keys))


def test_a_key_that_has_expired_does_not_count(artifact, openpgp):
    openpgp.key(WHO, LATER, when=NOW)
    signature = openpgp.sign(artifact, WHO, when=NOW)
    with pytest.raises(SignatureError, match="is no signature of"):
        require(str(artifact), str(signature), str(openpgp.keys))
