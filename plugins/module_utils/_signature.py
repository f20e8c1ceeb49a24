# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detached signatures of artifacts, made by OpenSSH or OpenPGP, and judged by those programs. Source: ssh-keygen(1), gpgv(1), GnuPG's doc/DETAILS."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import Sequence

SECONDS = 300.0
HEAD_BYTES = 64
SSH, OPENPGP = "ssh", "openpgp"
SSH_HEADER = b"-----BEGIN SSH SIGNATURE-----"
# Each line of gpgv's status begins so; a key that has expired or was revoked has its own word in place of GOODSIG.
GOOD = re.compile(r"^\[GNUPG:\] GOODSIG \S+ (?P<who>.+)$", re.MULTILINE)
FINGERPRINT = re.compile(r"^\[GNUPG:\] VALIDSIG (?P<fingerprint>[0-9A-F]+) ", re.MULTILINE)
REFUSED = re.compile(r"^\[GNUPG:\] (?:BADSIG|ERRSIG|EXPSIG|EXPKEYSIG|REVKEYSIG) ", re.MULTILINE)


class SignatureError(Exception):
    """Nobody whose word counts has signed the artifact; the message says what was found instead."""


@dataclass(frozen=True)
class Signed:
    """Who has signed: `kind` is ssh or openpgp, `signer` the principal in the list of signers, or the user of the OpenPGP key with its fingerprint."""

    kind: str
    signer: str


def require(artifact: str, signature: str, keys: str, namespace: str = "file") -> Signed:
    """Tell who signed the artifact.

    :param keys: whose signatures count: a list of signers as in ssh-keygen(1), or a keyring as ``gpg --export`` writes it, which of the two the signature says.
    :param namespace: what an SSH signature was made for; ``ssh-keygen -Y sign -n``.
    :raises SignatureError: when there is none, it does not fit the artifact, or its key is not among `keys`, has expired or was revoked.
    """
    for path, what in ((artifact, "the artifact"), (signature, "the signature"), (keys, "the list of keys")):
        if not os.path.isfile(path):
            raise SignatureError(f"{path} is not there: it should be {what}")
    with open(signature, "rb") as file:
        head = file.read(HEAD_BYTES)
    return _ssh(artifact, signature, keys, namespace) if head.startswith(SSH_HEADER) else _openpgp(artifact, signature, keys)


def _ssh(artifact: str, signature: str, keys: str, namespace: str) -> Signed:
    found = _run(["ssh-keygen", "-Y", "find-principals", "-f", keys, "-s", signature])
    principal = found.stdout.split("\n")[0].split(",")[0].strip()
    if found.returncode or not principal:
        raise SignatureError(f"{signature} was not made with a key in {keys}")
    judged = _run(["ssh-keygen", "-Y", "verify", "-f", keys, "-I", principal, "-n", namespace, "-s", signature], artifact)
    if judged.returncode:
        raise SignatureError(f"{signature} is no signature of {artifact} by {principal}: {_said(judged)}")
    return Signed(SSH, principal)


def _openpgp(artifact: str, signature: str, keys: str) -> Signed:
    judged = _run(["gpgv", "--status-fd", "1", "--keyring", os.path.abspath(keys), signature, artifact])
    good, fingerprint = GOOD.findall(judged.stdout), FINGERPRINT.findall(judged.stdout)
    # Several signatures may be in one file: each of them has to be good.
    if judged.returncode or not good or len(good) != len(fingerprint) or REFUSED.search(judged.stdout):
        raise SignatureError(f"{signature} is no signature of {artifact} by a key in {keys}: {_said(judged)}")
    return Signed(OPENPGP, ", ".join(f"{who} ({mark})" for who, mark in zip(good, fingerprint)))


def _run(command: Sequence[str], standard_input: str = os.devnull) -> subprocess.CompletedProcess:
    try:
        with open(standard_input, "rb") as file:
            return subprocess.run(list(command), stdin=file, capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS,
                                  env={**os.environ, "LC_ALL": "C.UTF-8"})
    except FileNotFoundError as error:
        raise SignatureError(f"{command[0]} is not on this host; Debian's packages are openssh-client and gpgv") from error
    except subprocess.TimeoutExpired as error:
        raise SignatureError(f"{command[0]} has not ended within {SECONDS:.0f} s") from error


def _said(done: subprocess.CompletedProcess) -> str:
    lines = [line.strip() for line in f"{done.stderr}\n{done.stdout}".splitlines() if line.strip() and not line.startswith("[GNUPG:]")]
    return "; ".join(lines) or f"exit {done.returncode}"
