# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Red Hat's packages: dnf, through its documented command line. Source: the DNF command reference, and needs-restarting of dnf-plugins-core."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence

from .manager import HoldFile, PackageError, Selection, Update, matches, run, selection_of

REFRESH_SECONDS, ASK_SECONDS, INSTALL_SECONDS = 300.0, 300.0, 3600.0
# dnf check-update: 100 means that there are updates; needs-restarting -r: 1 means that a reboot is needed.
UPDATES_EXIST, REBOOT_NEEDED = 100, 1
TIMERS = ("dnf-automatic.timer", "dnf-automatic-install.timer", "dnf-automatic-download.timer", "dnf-automatic-notifyonly.timer")
# dnf --assumeno exits with this when it would have done something.
ABORTED = 1
RPM_QUERY = ("rpm", "--query", "--all", "--queryformat", "%{NAME}.%{ARCH} %{EVR}\\n")
REBOOT_IS_NEEDED, NO_REBOOT = re.compile(r"(?i)reboot is required"), re.compile(r"(?i)reboot (?:is|should)\b[\w ]* not (?:be )?necessary")
COMING = ("Upgrading:", "Installing:", "Installing dependencies:", "Installing weak dependencies:")
HOLD = "/etc/alwayson-upgrade-hold"
ROW = re.compile(r"^(?P<name>\S+)\.(?P<arch>[^.\s]+)\s+(?P<candidate>\S+)\s+(?P<source>\S+)$")
ADVISED = re.compile(r"^\S+\s+\S+\s+(?P<package>\S+)$")


class Dnf:
    """See PackageManager."""

    name = "dnf"
    locks: tuple[str, ...] = ("/var/lib/rpm/.rpm.lock",)
    hold_file = HoldFile(HOLD)
    exclude: Sequence[str] = ()  # of the last selection

    def refresh(self) -> None:
        run(["dnf", "--quiet", "--refresh", "makecache"], REFRESH_SECONDS)

    def select(self, security_only: bool, exclude: Sequence[str]) -> Selection:
        listed = run(["dnf", "--quiet", "check-update"], ASK_SECONDS, accepted=(0, UPDATES_EXIST))
        advised = run(["dnf", "--quiet", "updateinfo", "list", "--security", "--available"], ASK_SECONDS)
        pending = parse_updates(listed, advised, run(RPM_QUERY, ASK_SECONDS))
        chosen = [update for update in pending if (update.security or not security_only) and not matches(update.name, exclude)]
        self.exclude = tuple(exclude)
        possible = parse_transaction(self._upgrade(chosen, "--assumeno", accepted=(0, ABORTED)), pending) if chosen else []
        return selection_of(possible, pending)

    def install(self, selection: Selection) -> None:
        self._upgrade(selection.updates, "--assumeyes", seconds=INSTALL_SECONDS)

    def _upgrade(self, updates: Sequence[Update], answer: str, accepted: Sequence[int] = (0,), seconds: float = ASK_SECONDS) -> str:
        # best=False: what cannot come, because it needs an excluded or locked package, is skipped and does not forbid the others.
        return run(["dnf", answer, "--setopt=best=False", *(f"--exclude={pattern}" for pattern in self.exclude), "upgrade",
                    *(f"{update.name}-{update.candidate}" for update in updates if update.installed is not None)], seconds, accepted=accepted)

    def unfinished(self) -> list[str]:
        return []  # RPM has no such state.

    def finish(self) -> None:
        """See `unfinished`."""

    def versions(self) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for package, version in _rows(run(RPM_QUERY, ASK_SECONDS)):
            found.setdefault(package.rpartition(".")[0], set()).add(version)
        return {name: frozenset(versions) for name, versions in found.items()}

    def reboot_reasons(self) -> list[str]:
        said = run(["dnf", "--quiet", "needs-restarting", "--reboothint"], ASK_SECONDS, accepted=(0, REBOOT_NEEDED))
        named = sorted(set(re.findall(r"^\s+\* (\S+)", said, re.MULTILINE)))
        if named or REBOOT_IS_NEEDED.search(said):
            return named or ["unknown"]
        # Neither sentence: its plug-in is not there, or says it otherwise. What is not known is not taken for no.
        if not NO_REBOOT.search(said):
            raise PackageError("dnf needs-restarting does not report whether a reboot is needed: install dnf-plugins-core on this host")
        return []

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


def _rows(installed: str) -> list[tuple[str, str]]:
    return [(package, version) for package, _space, version in (line.rpartition(" ") for line in installed.splitlines()) if package]


def parse_updates(listed: str, advised: str, installed: str) -> list[Update]:
    """The updates in what ``dnf check-update``, ``dnf updateinfo list --security`` and ``rpm --query --all`` print.

    An advisory that is listed is about a version newer than the installed one, so any later version has its fix.
    """
    versions = dict(_rows(installed))
    secure = {found["package"] for found in map(ADVISED.match, advised.splitlines()) if found}
    updates = []
    # What follows this heading are replacements that check-update lists a second time.
    for row in filter(None, map(ROW.match, listed.partition("Obsoleting Packages")[0].splitlines())):
        package = re.compile(rf"{re.escape(row['name'])}-[^-]+-[^-]+\.{re.escape(row['arch'])}")
        updates.append(Update(name=row["name"], installed=versions.get(f"{row['name']}.{row['arch']}"), candidate=row["candidate"], source=row["source"],
                              security=any(map(package.fullmatch, secure))))
    return updates


def parse_transaction(text: str, pending: Sequence[Update]) -> list[Update]:
    """What ``dnf --assumeno upgrade`` would install: the rows under these headings, of which a long one goes on in further lines."""
    if not any(sign in text for sign in ("Transaction Summary", "Nothing to do")):
        raise PackageError(f"dnf upgrade --assumeno lists no transaction: {'; '.join(text.split(chr(10))[-5:])}")
    rows: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        words = line.split()
        if not line.startswith(" ") or not words:
            inside = line.rstrip() in COMING
        elif inside and words[0] != "replacing":
            if not line.startswith("  "):
                rows.append([])
            rows[-1].extend(words)
    known = {(update.name, update.candidate): update for update in pending}
    return [known.get((name, candidate)) or Update(name, None, candidate, source=source) for name, _arch, candidate, source, *_size in rows]
