# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of artifacts, made and judged by the real programs."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import private_copy
from ansible_collections.alwayson.upgrade.plugins.module_utils._release import signature as release_signature
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.signature import OPENPGP, SSH, SignatureError, require
from fleet import signing

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
        signing.make_ssh_key(self.folder / name)
        return signing.signer(name, self.folder / name, options)

    def sign(self, path, name, namespace="file"):
        return signing.sign_by_ssh(path, self.folder / name, namespace)


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


def test_a_key_on_two_lines_counts_by_the_one_that_is_for_this(artifact, ssh):
    line = ssh.key(WHO, 'namespaces="file" ')
    key = line.split(maxsplit=2)[2]
    ssh.keys.write_text(f'# {WHO} x\ngit@example.com namespaces="git" {key}{line}', encoding="ascii")
    signature = str(ssh.sign(artifact, WHO))
    assert require(str(artifact), signature, str(ssh.keys)).signer == WHO
    with pytest.raises(SignatureError, match=f"by git@example.com or {WHO}"):
        require(str(artifact), signature, str(ssh.keys), namespace="other")


def test_who_is_not_meant_is_not_the_signer(artifact, ssh):
    line = ssh.key(WHO)
    ssh.keys.write_text(line.replace(WHO, "!mallory@example.com,*@example.com", 1), encoding="ascii")
    assert require(str(artifact), str(ssh.sign(artifact, WHO)), str(ssh.keys)).signer == "*@example.com"


def test_an_artifact_is_copied_where_there_is_room(artifact, ssh, monkeypatch):
    ssh.keys.write_text(ssh.key(WHO), encoding="ascii")
    signature, free = str(ssh.sign(artifact, WHO)), private_copy.free_bytes
    monkeypatch.setattr(private_copy, "free_bytes", lambda folder: 0 if folder == tempfile.gettempdir() else free(folder))
    assert require(str(artifact), signature, str(ssh.keys)).signer == WHO
    monkeypatch.setattr(private_copy, "free_bytes", lambda folder: 0)
    with pytest.raises(OSError, match=r"shop.tar.gz|make room there"):
        require(str(artifact), signature, str(ssh.keys))


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
    with pytest.raises(SignatureError, match=r"absent.sig is not there: it should be the signature"):
        require(str(artifact), str(tmp_path / "absent.sig"), str(tmp_path / "keys"))


@pytest.fixture
def openpgp(tmp_path_factory):
    if not all(map(shutil.which, ("gpg", "gpgv"))):
        pytest.skip("no gpg and gpgv on this machine: Debian's packages are gpg and gpgv")
    with signing.OpenPgp(tmp_path_factory.mktemp("pgp")) as made:
        yield made


def test_who_signed_by_openpgp(artifact, openpgp, tmp_path):
    openpgp.make_key(WHO)
    signed = require(str(artifact), str(openpgp.sign(artifact, WHO)), str(openpgp.export(tmp_path / "keys.gpg")))
    assert signed.kind == OPENPGP and signed.signer.startswith(f"{WHO} (") and len(signed.signer.rsplit("(", maxsplit=1)[1]) == 41


def test_an_openpgp_signature_that_does_not_fit_or_count_is_refused(artifact, openpgp, tmp_path):
    openpgp.make_key(WHO)
    signature, keyring = openpgp.sign(artifact, WHO), openpgp.export(tmp_path / "keys.gpg")
    content = artifact.read_bytes()
    artifact.write_bytes(content + b"x")
    with pytest.raises(SignatureError, match=r"is no signature of .*BAD signature"):
        require(str(artifact), str(signature), str(keyring))
    artifact.write_bytes(content)
    openpgp.make_key("stranger@example.com")
    stranger = openpgp.sign(artifact, "stranger@example.com")
    with pytest.raises(SignatureError, match=r"is no signature of .*No public key"):
        require(str(artifact), str(stranger), str(keyring))


def test_a_key_that_has_expired_does_not_count(artifact, openpgp, tmp_path):
    openpgp.make_key(WHO, LATER, when=NOW)
    signature = openpgp.sign(artifact, WHO, when=NOW)
    with pytest.raises(SignatureError, match="is no signature of"):
        require(str(artifact), str(signature), str(openpgp.export(tmp_path / "keys.gpg")))


class Exchanging:
    """An account without a key may write in the artifact's folder. It shows the signed file while that is judged, and another one before and after."""

    def __init__(self, artifact, monkeypatch):
        self.artifact, self.signed, self.evil = artifact, artifact.read_bytes(), b"evil"
        run = release_signature._run

        def shown(command, *given):
            artifact.write_bytes(self.signed)
            try:
                return run(command, *given)
            finally:
                artifact.write_bytes(self.evil)

        artifact.write_bytes(self.evil)
        monkeypatch.setattr(release_signature, "_run", shown)


@pytest.mark.parametrize("by", ["ssh", "openpgp"])
def test_what_was_judged_is_what_the_checksum_is_of(artifact, request, tmp_path, monkeypatch, by):
    signer = request.getfixturevalue(by)
    if by == "ssh":
        signer.keys.write_text(signer.key(WHO), encoding="ascii")
        signature, keys = signer.sign(artifact, WHO), signer.keys
    else:
        signer.make_key(WHO)
        signature, keys = signer.sign(artifact, WHO), signer.export(tmp_path / "keys.gpg")
    wanted = hashlib.sha256(artifact.read_bytes()).hexdigest()
    assert require(str(artifact), str(signature), str(keys), sha256=wanted.upper()).sha256 == wanted
    with pytest.raises(SignatureError, match=f"the checksum {wanted}, but the checksum that is wanted is {'0' * 64}"):
        require(str(artifact), str(signature), str(keys), sha256="0" * 64)
    Exchanging(artifact, monkeypatch)
    evil = hashlib.sha256(b"evil").hexdigest()
    for asked in (evil, wanted, None):
        with pytest.raises(SignatureError, match=r"is no signature of|the checksum that is wanted"):
            require(str(artifact), str(signature), str(keys), sha256=asked)


@pytest.mark.parametrize("which", ["artifact", "signature", "keys"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(artifact, ssh, monkeypatch, which):
    ssh.keys.write_text(ssh.key(WHO), encoding="ascii")
    given = {"artifact": artifact, "signature": ssh.sign(artifact, WHO), "keys": ssh.keys}
    given[which].unlink()
    os.mkfifo(given[which])
    with pytest.raises(SignatureError, match="is not there"):
        require(*map(str, given.values()))
    monkeypatch.setattr(os.path, "isfile", lambda path: True)
    with pytest.raises(OSError, match="no regular file"):
        require(*map(str, given.values()))


def test_every_run_binds_the_signature_to_the_checksum_that_is_staged():
    repository = Path(__file__).resolve().parents[4]
    asked = {}
    for path in (repository / "playbooks" / "tasks" / "find_the_archive.yml", repository / "roles" / "release" / "tasks" / "stage.yml"):
        [asked[path.name]] = [task["alwayson.upgrade.signature_info"]["sha256"] for task in yaml.safe_load(path.read_text(encoding="utf-8"))
                              if "alwayson.upgrade.signature_info" in task]
    assert asked == {"find_the_archive.yml": "{{ alwayson_artifact.sha256 }}", "stage.yml": "{{ release_sha256 }}"}
