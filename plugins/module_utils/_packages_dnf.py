# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Red Hat's packages: dnf, through its documented command line. Source: the DNF command reference, and needs-restarting of dnf-plugins-core."""

from __future__ import annotations

import re
import shutil
from typing import Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._packages import HoldFile, Update, run

REFRESH_SECONDS, ASK_SECONDS, INSTALL_SECONDS = 300.0, 300.0, 3600.0
# dnf check-update: 100 means that there are updates; needs-restarting -r: 1 means that a reboot is needed.
UPDATES_EXIST, REBOOT_NEEDED = 100, 1
TIMERS = ("dnf-automatic.timer", "dnf-automatic-install.timer", "dnf-automatic-download.timer", "dnf-automatic-notifyonly.timer")
HOLD = "/etc/alwayson-upgrade-hold"
ROW = re.compile(r"^(?P<name>\S+)\.(?P<arch>[^.\s]+)\s+(?P<candidate>\S+)\s+(?P<source>\S+)$")
ADVISED = re.compile(r"^\S+\s+\S+\s+(?P<package>\S+)$")


class Dnf:
    """See PackageManager."""

    name = "dnf"
    locks = ("/var/lib/rpm/.rpm.lock",)
    hold_file = HoldFile(HOLD)

    def refresh(self) -> None:
        run(["dnf", "--quiet", "--refresh", "makecache"], REFRESH_SECONDS)

    def pending(self) -> list[Update]:
        listed = run(["dnf", "--quiet", "check-update"], ASK_SECONDS, accepted=(0, UPDATES_EXIST))
        advised = run(["dnf", "--quiet", "updateinfo", "list", "--security", "--available"], ASK_SECONDS)
        installed = run(["rpm", "--query", "--all", "--queryformat", "%{NAME}.%{ARCH} %{EVR}\\n"], ASK_SECONDS)
        return parse_updates(listed, advised, installed)

    def install(self, updates: Sequence[Update]) -> None:
        run(["dnf", "--quiet", "--assumeyes", "upgrade", *(f"{update.name}-{update.candidate}" for update in updates)], INSTALL_SECONDS)

    def reboot_reasons(self) -> list[str]:
        said = run(["dnf", "--quiet", "needs-restarting", "--reboothint"], ASK_SECONDS, accepted=(0, REBOOT_NEEDED))
        return sorted(set(re.findall(r"^\s+\* (\S+)$", said, re.MULTILINE)))

    def held_by(self) -> str | None:
        return self.hold_file.owner()

    def hold(self, owner: str) -> None:
        # The timers that are active are written down first, so that a release starts those and no others, even after a crash between; those
        # that an earlier owner stopped stay in the list.
        active = [timer for timer in TIMERS if _is_active(timer)]
        self.hold_file.write(owner, sorted({*active, *self.hold_file.rest()}))
        for timer in active:
            run(["systemctl", "disable", "--now", timer], ASK_SECONDS)

    def release(self) -> None:
        for timer in self.hold_file.rest():
            run(["systemctl", "enable", "--now", timer], ASK_SECONDS)
        self.hold_file.remove()


def _is_active(unit: str) -> bool:
    return bool(shutil.which("systemctl")) and run(["systemctl", "is-active", unit], ASK_SECONDS, accepted=(0, 1, 3, 4)).strip() == "active"


def parse_updates(listed: str, advised: str, installed: str) -> list[Update]:
    """The updates in what ``dnf check-update``, ``dnf updateinfo list --security`` and ``rpm --query --all`` print."""
    versions = dict(line.rsplit(" ", 1) for line in installed.splitlines() if " " in line)
    secure = {found["package"] for found in map(ADVISED.match, advised.splitlines()) if found}
    updates = []
    # What follows this heading are replacements that check-update lists a second time.
    for row in filter(None, map(ROW.match, listed.partition("Obsoleting Packages")[0].splitlines())):
        package = f"{row['name']}-{row['candidate'].partition(':')[2] or row['candidate']}.{row['arch']}"
        updates.append(Update(name=row["name"], installed=versions.get(f"{row['name']}.{row['arch']}"), candidate=row["candidate"], source=row["source"],
                              security=package in secure or f"{row['name']}-{row['candidate']}.{row['arch']}" in secure))
    return updates
