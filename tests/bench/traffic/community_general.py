# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""community.general, taken from the wheel `ansible` on PyPI: nothing else of the wheel is kept, and nothing is installed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

BENCH = Path(__file__).resolve().parents[3] / "build" / "bench"
FOLDER = BENCH / "collections"
COLLECTION = "ansible_collections/community/general"
# The wheel has 55 MB.
FETCH_SECONDS = 600


class Unavailable(Exception):
    """The collection cannot be had here; the message says why."""


def fetch() -> str:
    """Have the collection below FOLDER, once; returns its version."""
    manifest = FOLDER / COLLECTION / "MANIFEST.json"
    if not manifest.exists():
        BENCH.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BENCH, prefix="fetch-") as scratch:
            _unzip(_download(Path(scratch)), Path(scratch))
            manifest.parent.parent.mkdir(parents=True, exist_ok=True)
            # As a whole or not at all: an interrupted unzip leaves nothing that looks complete.
            (Path(scratch) / COLLECTION).rename(manifest.parent)
    return json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"]


def _download(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(scratch), "ansible"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"community.general: pip has not downloaded it after {FETCH_SECONDS} s") from None
    wheels = list(scratch.glob("ansible-*.whl"))
    if done.returncode or not wheels:
        raise Unavailable(f"community.general: pip download ansible: {(done.stderr.strip() or 'no wheel').splitlines()[-1]}")
    return wheels[0]


def _unzip(wheel: Path, scratch: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name.startswith(f"{COLLECTION}/")]
        if not members:
            raise Unavailable(f"community.general is not in {wheel.name}")
        archive.extractall(scratch, members)
