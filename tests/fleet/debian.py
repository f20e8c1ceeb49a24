# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian package without root: downloaded and unpacked, its missing libraries beside it. The last resort."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

DOWNLOAD_SECONDS = 120


def unpack(package: str, cellar: Path) -> Path | None:
    """Unpack `package` and the libraries it depends on below `cellar`; None where that is not possible."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return None
    cellar.mkdir(parents=True, exist_ok=True)
    root = cellar / "root"
    if not _call(["apt-get", "download", package, *_missing_libraries(package)], cellar):
        return None
    if not all(_call(["dpkg", "-x", str(archive), str(root)], cellar) for archive in cellar.glob("*.deb")):
        return None
    return root


def command(root: Path, program: str) -> list[str]:
    """How to run a program of an unpacked package: with its libraries."""
    folders = sorted({str(library.parent) for library in root.rglob("*.so*")})
    return ["env", f"LD_LIBRARY_PATH={':'.join(folders)}", str(root / program)] if folders else [str(root / program)]


def _missing_libraries(package: str) -> list[str]:
    """The libraries that the package needs, directly or through others, and that this system lacks."""
    shown = subprocess.run(["apt-cache", "depends", "--important", "--recurse", package], capture_output=True, text=True, check=False).stdout
    # Packages stand at the beginning of a line, what each depends on is indented; <name> is virtual.
    names = {line.strip() for line in shown.splitlines() if line.startswith("lib")}
    return sorted(name for name in names if not _is_installed(name))


def _is_installed(name: str) -> bool:
    query = subprocess.run(["dpkg-query", "-W", "-f=${Status}", name], capture_output=True, text=True, check=False)
    return query.stdout.endswith(" installed")


def _call(argv: list[str], cwd: Path) -> bool:
    try:
        return subprocess.run(argv, cwd=cwd, capture_output=True, check=False, timeout=DOWNLOAD_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False
