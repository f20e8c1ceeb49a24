# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's packages: apt-get and dpkg, driven through their documented command lines. Source: apt-get(8), apt.conf(5), dpkg(1)."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Callable

from .manager import HoldFile, PackageError, Selection, Update, matches, run, selection_of

REFRESH_SECONDS, ASK_SECONDS, INSTALL_SECONDS = 300.0, 120.0, 3600.0
REBOOT_REQUIRED = "/run/reboot-required"
# Apt's own nightly updates ask for this before they do anything (apt.systemd.daily).
HOLD = "/etc/apt/apt.conf.d/99alwayson-upgrade-hold"
HOLD_LINES = ("// No unattended update while an upgrade is under way. Remove this file when none is.", 'APT::Periodic::Enable "0";')
# No questions, the administrator's configuration files stay, and needrestart restarts no services.
UNATTENDED = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_SUSPEND": "1"}
OPTIONS = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=60", "-o", "APT::Get::Assume-Yes=true")
UPGRADE = ("--with-new-pkgs", "upgrade")
PREFERENCES = "/etc/apt/preferences"
# Asked with these, apt names the version with the fix, also where a later one without that mark stands in another suite: it has the fix as well.
SECURITY_FIRST = "".join(f"Package: *\nPin: release {where}\nPin-Priority: 990\n\n" for where in ("a=*security*", "l=*[sS]ecurity*"))
# The highest priority that apt knows: over 1000 a version wins against all others, and of those with the same one the newest does.
KEEP = 32767
FORMAT = "${Package}\\t${Architecture}\\t${Version}\\t${db:Status-Abbrev}\\n"
# The second letter of dpkg's status, see dpkg-query(1): half installed, unpacked, half configured, waiting for or due a trigger; not installed,
# configuration only.
UNFINISHED, ABSENT = "HUFWt", "nc"
INST = re.compile(r"^Inst (?P<name>\S+) (?:\[(?P<installed>[^\]]+)\] )?\((?P<candidate>\S+) (?P<origins>.*?) ?\[[^\]]*\]\)", re.MULTILINE)


class Apt:
    """See PackageManager."""

    name = "apt"
    locks: tuple[str, ...] = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock")
    hold_file = HoldFile(HOLD, header="// Held by ")
    pins: Sequence[Update] = ()  # of the last selection

    def refresh(self) -> None:
        # Any repository that does not answer is an error: an index that is old in silence would hide an update.
        run(["apt-get", "-o", "APT::Update::Error-Mode=any", "-o", "DPkg::Lock::Timeout=60", "update"], REFRESH_SECONDS, UNATTENDED)

    def select(self, security_only: bool, exclude: Sequence[str]) -> Selection:
        held = set(run(["apt-mark", "showhold"], ASK_SECONDS).split())
        pending = parse_simulation(_simulate([], "--ignore-hold"), held)
        urgent = {update.name for update in parse_simulation(_simulate([], "--ignore-hold", first=SECURITY_FIRST), held) if update.security}
        pending = [replace(update, security=update.security or update.name in urgent) for update in pending]
        pins: dict[str, Update] = {}
        possible = _without(lambda update: matches(update.name, exclude), pins)
        if security_only:
            chosen = [f"{update.name}={update.candidate}" for update in possible if update.name in urgent and update.installed is not None]
            needed = {update.name for update in parse_simulation(_simulate(pins.values(), command=("install", *chosen)), set())} if chosen else set()
            possible = _without(lambda update: update.name not in needed, pins)
        self.pins = tuple(pins.values())
        known = {update.name: update for update in pending}
        return selection_of([known.get(update.name, update) for update in possible], pending)

    def install(self, selection: Selection) -> None:
        # Not "install NAME=VERSION": one package that cannot come would forbid them all, and automatically installed ones would become manual.
        with _preferences(pinned(self.pins)) as options:
            run(["apt-get", *OPTIONS, *options, "--no-remove", *UPGRADE], INSTALL_SECONDS, UNATTENDED)

    def unfinished(self) -> list[str]:
        return [name for name, _version, status in _database() if status[1:2] in UNFINISHED]

    def finish(self) -> None:
        run(["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"], INSTALL_SECONDS, UNATTENDED)

    def versions(self) -> dict[str, frozenset[str]]:
        return {name: frozenset([version]) for name, version, status in _database() if status[1:2] not in ABSENT}

    def reboot_reasons(self) -> list[str]:
        if not os.path.exists(REBOOT_REQUIRED):
            return []
        with contextlib.suppress(OSError), open(f"{REBOOT_REQUIRED}.pkgs", encoding="utf-8", errors="replace") as file:
            return sorted(set(file.read().split())) or ["unknown"]
        return ["unknown"]

    def held_by(self) -> str | None:
        return self.hold_file.owner()

    def hold(self, owner: str) -> None:
        self.hold_file.write(owner, HOLD_LINES)

    def release(self) -> None:
        self.hold_file.remove()


def _without(is_unwanted: Callable[[Update], bool], pins: dict[str, Update]) -> list[Update]:
    """What apt would install with none of the unwanted updates, which are added to `pins`. Raise PackageError when it would install one that is pinned."""
    while True:
        possible = parse_simulation(_simulate(pins.values()), set())
        unwanted = {update.name: update for update in possible if is_unwanted(update)}
        if not unwanted:
            return possible
        for name in unwanted.keys() & pins.keys():
            raise PackageError(f"{name} {unwanted[name].candidate} cannot be left out: the administrator's pin gives it a priority that no other pin exceeds "
                               f"({', '.join(_highest_pins()) or 'see apt-cache policy ' + name}). Lower it there to 1001, which is enough for any version")
        pins.update(unwanted)


def _highest_pins() -> list[str]:
    """The administrator's files with a pin of the highest priority."""
    found = []
    for path in (PREFERENCES, *sorted(glob.glob(f"{PREFERENCES}.d/*"))):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            found += [path] if re.search(rf"^Pin-Priority:[ \t]*{KEEP}\b", file.read(), re.MULTILINE | re.IGNORECASE) else []
    return found


def _simulate(pins: Iterable[Update], *more: str, command: Sequence[str] = UPGRADE, first: str = "") -> str:
    with _preferences(first + pinned(pins)) as options:
        return run(["apt-get", "--simulate", *options, *more, *command], ASK_SECONDS, UNATTENDED)


@contextlib.contextmanager
def _preferences(text: str) -> Iterator[list[str]]:
    """Apt's options for one call with these preferences before the administrator's own."""
    if not text:
        yield []
        return
    with contextlib.suppress(FileNotFoundError), open(PREFERENCES, encoding="utf-8", errors="surrogateescape") as own:
        text += own.read()
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="surrogateescape", prefix="alwayson-upgrade-", suffix=".pref") as file:
        file.write(text)
        file.flush()
        yield ["-o", f"Dir::Etc::Preferences={file.name}"]


def pinned(pins: Iterable[Update]) -> str:
    """Preferences with which apt keeps the installed version, and installs none where there is none. Of those for one package the first counts."""
    return "".join(f"Package: {update.name}\nPin: version {update.installed}\nPin-Priority: {KEEP}\n\n" if update.installed is not None
                   else f"Package: {update.name}\nPin: release *\nPin-Priority: -1\n\n" for update in pins)


def _database() -> list[tuple[str, str, str]]:
    """Name, version and status of each package that dpkg knows; the name of a foreign architecture's has that behind a colon, as apt prints it."""
    native = run(["dpkg", "--print-architecture"], ASK_SECONDS).strip()
    rows = [line.split("\t") for line in run(["dpkg-query", "--show", "--showformat", FORMAT], ASK_SECONDS).splitlines()]
    return [(name if architecture in (native, "all") else f"{name}:{architecture}", version, status) for name, architecture, version, status in rows]


def parse_simulation(text: str, held: set[str]) -> list[Update]:
    """The updates in what ``apt-get --simulate upgrade`` prints: ``Inst name [old] (new origin:suite/codename, ... [architecture])``.

    The name of a package of a foreign architecture has that behind a colon, as in all of apt's arguments.
    """
    return [Update(name=found["name"], installed=found["installed"], candidate=found["candidate"], source=found["origins"],
                   security="security" in found["origins"].lower(), held=found["name"] in held)
            for found in INST.finditer(text)]
