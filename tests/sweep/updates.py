# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Package updates for members that are one machine: each has an apt of its own, with one package, and nothing of this machine's is read or written.

A member's Python starts in a mount namespace in which /etc/apt/apt.conf.d is the member's folder, so that it holds no update of this machine's. Needs root.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

PACKAGE = "agent"
PYTHON = """#!/bin/sh
exec unshare --mount sh -c 'mount --bind {folder}/etc /etc/apt/apt.conf.d && PATH={folder}/bin:$PATH exec {python} "$@"' python "$@"
"""
# What the collection asks of apt and dpkg, see plugins/module_utils/_packages/apt.py. Anything else ends in error.
PROGRAM = """#!/bin/sh
installed=$(cat {folder}/installed) candidate=$(cat {folder}/candidate)
case "$(basename "$0") $*" in
  "apt-get "*" update" | "dpkg --configure "* | "apt-mark showhold") ;;
  "apt-get --simulate "*) [ "$installed" = "$candidate" ] || echo "Inst {package} [$installed] ($candidate here:1/stable [all])" ;;
  "apt-get "*" upgrade") sleep 0.3; cp {folder}/candidate {folder}/.new && mv {folder}/.new {folder}/installed ;;
  "dpkg --print-architecture") echo amd64 ;;
  "dpkg-query --show "*) printf '{package}\\tall\\t%s\\tii \\n' "$installed" ;;
  *) echo "no such command here: $0 $*" >&2; exit 64 ;;
esac
"""


class Updates:
    """The members' package managers. `release` makes a newer version of the package for all of them."""

    def __init__(self, directory: Path, members: list[str]) -> None:
        self.folders = {name: directory / name for name in members}
        self.version = 1

    def install(self, inventory: Path) -> None:
        """Give each member its package manager, by the Python that the inventory names for it."""
        hosts = yaml.safe_load(inventory.read_text(encoding="utf-8"))
        for name, folder in self.folders.items():
            (folder / "bin").mkdir(parents=True, exist_ok=True)
            (folder / "etc").mkdir(exist_ok=True)
            for program in ("apt-get", "apt-mark", "dpkg", "dpkg-query"):
                _write(folder / "bin" / program, PROGRAM.format(folder=folder, package=PACKAGE))
            _write(folder / "python", PYTHON.format(folder=folder, python=sys.executable))
            (folder / "installed").write_text("1\n", encoding="ascii")
            for group in hosts["all"]["children"].values():
                if name in group["hosts"]:
                    group["hosts"][name]["ansible_python_interpreter"] = str(folder / "python")
        self.release(self.version)
        inventory.write_text(yaml.safe_dump(hosts), encoding="utf-8")

    def release(self, version: int) -> None:
        """From now on each member waits for this version, unless it has it."""
        self.version = version
        for folder in self.folders.values():
            (folder / "candidate").write_text(f"{version}\n", encoding="ascii")

    def problems(self) -> list[str]:
        """Who has another version, or has its updates still held."""
        found = [f"{name} has version {has}" for name, folder in self.folders.items()
                 if (has := (folder / "installed").read_text(encoding="ascii").strip()) != str(self.version)]
        return found + [f"updates stay held on {name}" for name, folder in self.folders.items() if any((folder / "etc").iterdir())]


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
