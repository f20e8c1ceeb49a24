# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab that is down must not have left behind."""

from __future__ import annotations

from pathlib import Path

from lab.lab import Lab


def leftovers(lab: Lab) -> list[str]:
    """Processes, mounts, namespaces and folders that belong to this lab; the image in its own storage may stay."""
    found = [f"process {path.parent.name}: {arguments}" for path, arguments in _arguments() if str(lab.directory) in arguments and "conmon" in arguments]
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    found += [f"mount {line.split()[1]}" for line in mounts if str(lab.directory) in line or str(lab.podman.run_folder) in line or lab.podman.namespace in line]
    found += [f"folder {path}" for path in (Path("/run/netns") / lab.podman.namespace, lab.podman.run_folder) if path.exists()]
    return found


def _arguments():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path, path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
