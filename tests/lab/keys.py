# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's secrets, recreated with each lab: an authority for the hosts' SSH keys, the operator's key, the release engineers', the databases' passwords."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path

from fleet import signing
from lab.layout import HOSTS, Host

SIGNER = "releases@lab"


class Keys:
    """The folder of the keys, readable by its owner alone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.operator = directory / "operator"
        self.authority = directory / "authority"
        self.known_hosts = directory / "known_hosts"
        self.releases = directory / "releases"
        self.release_signers = directory / "release_signers"

    def make(self) -> None:
        """Make the keys, and say that whoever the authority vouches for is known, and that the release engineers' signatures count."""
        self.directory.mkdir(parents=True, mode=0o700)
        for path in (self.authority, self.operator, self.releases):
            signing.make_ssh_key(path)
        patterns = ",".join(host.address for host in HOSTS)
        self.known_hosts.write_text(f"@cert-authority {patterns} {self.authority.with_suffix('.pub').read_text(encoding='ascii')}", encoding="ascii")
        self.release_signers.write_text(signing.signer(SIGNER, self.releases), encoding="ascii")

    def sign(self, artifact: Path) -> None:
        """Leave the release engineers' signature beside an artifact."""
        signing.sign_by_ssh(artifact, self.releases)

    def make_host_key(self, host: Host, folder: Path) -> None:
        """A host's key with its certificate, for its address alone."""
        key = folder / "lab_host_key"
        signing.make_ssh_key(key, host.name)
        subprocess.run(["ssh-keygen", "-q", "-s", str(self.authority), "-I", host.name, "-h", "-n", host.address, "-V", "-5m:+30d", f"{key}.pub"],
                       check=True, capture_output=True)

    def password(self, role: str) -> str:
        """The password of a database role, the same at every call."""
        path = self.directory / f"{role}.password"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(18), encoding="ascii")
        return path.read_text(encoding="ascii")
