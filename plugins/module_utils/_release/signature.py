# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detached signatures of artifacts, made by OpenSSH or OpenPGP, and verified by those programs. Source: ssh-keygen(1), gpgv(1), GnuPG's doc/DETAILS.

Each file is read once. The checksum that is returned is the one of the very bytes that were verified, even when another account changes the artifact meanwhile.
"""

from __future__ import annotations

import base64
import os
import re
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from .._host import private_copy, programs

SECONDS = 300.0
HEAD_BYTES = 64
# Each one reads the artifact once more.
MOST_PRINCIPALS = 16
# A signature and a list of keys have kilobytes.
MOST_BYTES = 64 * 1024 * 1024
SSH, OPENPGP = "ssh", "openpgp"
SSH_HEADER = b"-----BEGIN SSH SIGNATURE-----"
# Each line of gpgv's status begins so; a key that has expired or was revoked has its own word in place of GOODSIG.
GOOD = re.compile(r"^\[GNUPG:\] GOODSIG \S+ (?P<who>.+)$", re.MULTILINE)
FINGERPRINT = re.compile(r"^\[GNUPG:\] VALIDSIG (?P<fingerprint>[0-9A-F]+) ", re.MULTILINE)
REFUSED = re.compile(r"^\[GNUPG:\] (?:BADSIG|ERRSIG|EXPSIG|EXPKEYSIG|REVKEYSIG) ", re.MULTILINE)


class SignatureError(Exception):
    """No trusted signature of the artifact; the message says what was found instead."""


@dataclass(frozen=True)
class Signed:
    """Who has signed: `kind` is ssh or openpgp, `signer` the principal in the list of signers, or the user of the OpenPGP key with its fingerprint.

    `sha256` is the checksum of what was signed, in hexadecimal.
    """

    kind: str
    signer: str
    sha256: str


class Files(NamedTuple):
    """The paths that were given, for messages, and the private copies of the two small ones."""

    artifact: str
    signature: str
    keys: str
    signature_copy: str
    keys_copy: str


def require(artifact: str, signature: str, keys: str, namespace: str = "file", sha256: str | None = None) -> Signed:
    """Identify who signed the artifact.

    :param keys: whose signatures count: a list of signers as in ssh-keygen(1), or a keyring as ``gpg --export`` writes it, which of the two the signature says.
    :param namespace: what an SSH signature was made for; ``ssh-keygen -Y sign -n``.
    :param sha256: the checksum that the artifact has to have.
    :raises SignatureError: when there is none, it does not fit the artifact, or its key is not among `keys`, has expired or was revoked; and when what was
        signed has another checksum.
    """
    for path, what in ((artifact, "the artifact"), (signature, "the signature"), (keys, "the list of keys")):
        if not os.path.isfile(path):
            raise SignatureError(f"{path} is not there: it should be {what}")
    with tempfile.TemporaryDirectory(prefix="alwayson-signature-") as folder:
        files = Files(artifact, signature, keys, os.path.join(folder, "signature"), os.path.join(folder, "keys"))
        for path, copied in ((signature, files.signature_copy), (keys, files.keys_copy)):
            with open(copied, "xb") as target:
                private_copy.copy(path, target, MOST_BYTES)
        with open(files.signature_copy, "rb") as file:
            head = file.read(HEAD_BYTES)
        signed = _ssh(files, namespace) if head.startswith(SSH_HEADER) else _openpgp(files)
    if sha256 and signed.sha256 != sha256.lower():
        raise SignatureError(f"{signature} is of a file with the checksum {signed.sha256}, but the checksum that is wanted is {sha256.lower()}: "
                             f"{artifact} changes, or the checksum is of another file. Build or fetch it again, into a folder "
                             "that no other account may write to")
    return signed


def _ssh(files: Files, namespace: str) -> Signed:
    found = _run(["ssh-keygen", "-Y", "find-principals", "-f", files.keys_copy, "-s", files.signature_copy])
    principals = _principals(files, found.stdout)
    if found.returncode or not principals:
        raise SignatureError(f"{files.signature} was not made with a key in {files.keys}")
    verify = ["ssh-keygen", "-Y", "verify", "-f", files.keys_copy, "-n", namespace, "-s", files.signature_copy, "-I"]
    verified, sha256 = _verify([[*verify, principal] for principal in principals], files.artifact)
    if verified.returncode:
        raise SignatureError(f"{files.signature} is no signature of {files.artifact} by {' or '.join(principals)}: {_said(verified)}")
    return Signed(SSH, verified.args[-1], sha256)


def _principals(files: Files, found: str) -> list[str]:
    """The principals that may have signed, each once: those that ssh-keygen has `found` by the first line with the key, and those of every other such line.

    A line may allow another namespace than the required one; ssh-keygen checks each. A name with ! is excluded.
    """
    with open(files.signature_copy, encoding="ascii", errors="replace") as file:
        key = signing_key(file.read())
    with open(files.keys_copy, encoding="utf-8", errors="surrogateescape") as file:
        rows = [line.split() for line in file if key and key in line]
    lines = [*found.splitlines(), *(row[0].strip('"') for row in rows if key in row and not row[0].startswith("#"))]
    names = [name.strip() for line in lines for name in line.split(",")]
    return list(dict.fromkeys(name for name in names if name and not name.startswith("!")))[:MOST_PRINCIPALS]


def signing_key(armored: str) -> str:
    """The key that an SSH signature is said to be made with, as a list of signers has it; empty when there is none. Source: OpenSSH's PROTOCOL.sshsig."""
    lines = [line.strip() for line in armored.splitlines()]
    try:
        blob = base64.b64decode("".join(line for line in lines if line and not line.startswith("-----")))
        length = struct.unpack(">I", blob[10:14])[0]
    except (ValueError, struct.error):
        return ""
    return base64.b64encode(blob[14:14 + length]).decode("ascii") if blob.startswith(b"SSHSIG") else ""


def _openpgp(files: Files) -> Signed:
    verified, sha256 = _verify([["gpgv", "--status-fd", "1", "--keyring", files.keys_copy, files.signature_copy, "-"]], files.artifact)
    good, fingerprint = GOOD.findall(verified.stdout), FINGERPRINT.findall(verified.stdout)
    # Several signatures may be in one file: each of them has to be good.
    if verified.returncode or not good or len(good) != len(fingerprint) or REFUSED.search(verified.stdout):
        raise SignatureError(f"{files.signature} is no signature of {files.artifact} by a key in {files.keys}: {_said(verified)}")
    return Signed(OPENPGP, ", ".join(f"{who} ({mark})" for who, mark in zip(good, fingerprint)), sha256)


def _verify(commands: Sequence[Sequence[str]], artifact: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """What the first program that accepts the artifact says of it, else the last; each reads it as its input. With the checksum of just these bytes."""
    # Where the artifact lies is room for one; /tmp may be small, and memory.
    home = os.path.expanduser(os.environ.get("ANSIBLE_HOME") or os.path.join("~", ".ansible"))
    with private_copy.private_copy(artifact, os.path.dirname(os.path.abspath(artifact)), os.path.join(home, "tmp"), tempfile.gettempdir()) as (copy, sha256):
        # No second look at the artifact: it may be another file by then.
        for command in commands:
            os.lseek(copy.fileno(), 0, os.SEEK_SET)
            done = _run(command, copy)
            if not done.returncode:
                break
        return done, sha256


def _run(command: Sequence[str], standard_input: BinaryIO | int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    try:
        return programs.captured(command, SECONDS, standard_input=standard_input)
    except FileNotFoundError as error:
        raise SignatureError(f"{command[0]} is not on this host; Debian's packages are openssh-client and gpgv") from error
    except subprocess.TimeoutExpired as error:
        raise SignatureError(f"{command[0]} has not ended within {SECONDS:.0f} s") from error


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in f"{done.stderr}\n{done.stdout}".splitlines() if line.strip() and not line.startswith("[GNUPG:]")]
    return "; ".join(lines) or f"exit {done.returncode}"
