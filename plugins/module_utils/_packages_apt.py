# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's packages: apt-get and dpkg, asked and told through their documented command lines. Source: apt-get(8), apt.conf(5), dpkg(1)."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._packages import HoldFile, Update, run

REFRESH_SECONDS, ASK_SECONDS, INSTALL_SECONDS = 300.0, 120.0, 3600.0
REBOOT_REQUIRED = "/run/reboot-required"
# Apt's own nightly updates ask for this before they do anything (apt.systemd.daily).
HOLD = "/etc/apt/apt.conf.d/99alwayson-upgrade-hold"
HOLD_LINES = ("// No unattended update while an upgrade is under way. Remove this file when none is.", 'APT::Periodic::Enable "0";')
# No questions, the administrator's configuration files stay, and nobody restarts services behind our back.
UNATTENDED = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_SUSPEND": "1"}
OPTIONS = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=60", "-o", "APT::Get::Assume-Yes=true")
INST = re.compile(r"^Inst (?P<name>\S+) (?:\[(?P<installed>[^\]]+)\] )?\((?P<candidate>\S+) (?P<origins>.*?) ?\[[^\]]*\]\)", re.MULTILINE)


class Apt:
    """See PackageManager."""

    name = "apt"
    locks = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock")
    hold_file = HoldFile(HOLD, header="// Held by ")

    def refresh(self) -> None:
        # Any repository that does not answer is an error: an index that is old in silence would hide an update.
        run(["apt-get", "-o", "APT::Update::Error-Mode=any", "-o", "DPkg::Lock::Timeout=60", "update"], REFRESH_SECONDS, UNATTENDED)

    def pending(self) -> list[Update]:
        held = set(run(["apt-mark", "showhold"], ASK_SECONDS).split())
        simulated = run(["apt-get", "--simulate", "--ignore-hold", "--with-new-pkgs", "upgrade"], ASK_SECONDS, UNATTENDED)
        return parse_simulation(simulated, held)

    def install(self, updates: Sequence[Update]) -> None:
        # What an interrupted run left half configured stands in the way of everything else.
        run(["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"], INSTALL_SECONDS, UNATTENDED)
        run(["apt-get", *OPTIONS, "--only-upgrade", "--no-remove", "install", *(f"{update.name}={update.candidate}" for update in updates)],
            INSTALL_SECONDS, UNATTENDED)

    def reboot_reasons(self) -> list[str]:
        if not os.path.exists(REBOOT_REQUIRED):
            return []
        with contextlib.suppress(OSError), open(f"{REBOOT_REQUIRED}.pkgs", encoding="utf-8") as file:
            return sorted(set(file.read().split())) or ["unknown"]
        return ["unknown"]

    def held_by(self) -> str | None:
        return self.hold_file.owner()

    def hold(self, owner: str) -> None:
        self.hold_file.write(owner, HOLD_LINES)

    def release(self) -> None:
        self.hold_file.remove()


def parse_simulation(text: str, held: set[str]) -> list[Update]:
    """The updates in what ``apt-get --simulate upgrade`` prints: ``Inst name [old] (new origin:suite/codename, ... [architecture])``.

    The name of a package of a foreign architecture has that behind a colon, here as in everything that apt is told.
    """
    return [Update(name=found["name"], installed=found["installed"], candidate=found["candidate"], source=found["origins"],
                   security="security" in found["origins"].lower(), held=found["name"] in held)
            for found in INST.finditer(text)]
