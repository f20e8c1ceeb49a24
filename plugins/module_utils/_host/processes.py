# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity of the controller's process that runs a play, and the proof that such a process has ended.

A proof errs on the side of life. What cannot be read, another machine, a container elsewhere: none of that proves anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import platform
import subprocess
from collections.abc import Mapping
from typing import Any, NamedTuple

from . import proc

MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")
# The id that a hypervisor or a maker gave the machine, which root alone can read. Where the maker gave none, it has few different digits, or is one of these.
HARDWARE_ID = "/sys/class/dmi/id/product_uuid"
DIGITS_OF_AN_ID = 6
NO_IDS = ("03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009", "12345678-1234-5678-90ab-cddeefaabbcc",
          "12345678-1234-1234-1234-123456789abc", "01234567-89ab-cdef-0123-456789abcdef")
BOOT_ID = "/proc/sys/kernel/random/boot_id"
PROCESS_NAMESPACE, TIME_NAMESPACE = "/proc/self/ns/pid", "/proc/self/ns/time"
# Stands for the start time of a zombie: a process that has ended and that its parent has not reaped.
ENDED = "ended"
# The machine's initial process namespace, as Linux names it. In any other one, /etc/machine-id may be an image's.
OF_THE_MACHINE = "pid:[4026531836]"


class Controller(NamedTuple):
    """The process that runs the playbook. A field that the system does not provide is empty.

    `machine` stands for the machine's id and node name, `boot` for the time since it was started, `namespace` for where process ids
    and times mean the same. `started` distinguishes the process from others that had the same `pid`. `hardware` stands for what a clone of the machine,
    which has its id and its name, does not have.
    """

    machine: str
    boot: str
    namespace: str
    pid: int
    started: str
    hardware: str = ""

    @property
    def run(self) -> str:
        """A name for what this process does that no other process gets."""
        return _checksum(platform.node(), *map(str, self))


def this_controller() -> Controller:
    """The controller of the play in which this is called, be it in a worker or in the controller's own process."""
    parent = multiprocessing.parent_process()
    pid = (parent and parent.pid) or os.getpid()
    return Controller(machine=_machine(), boot=_first_line(BOOT_ID), namespace=_namespace(), pid=pid, started=started(pid), hardware=_hardware())


def proof_of_death(recorded: Mapping[str, Any], here: Controller) -> str:
    """Why the recorded controller cannot be alive, as a sentence; empty when that is not proven. `here` is the process that checks it."""
    former = known(recorded)
    if former is None or not former.boot or not former.namespace:
        return ""
    if _is_of_this_boot(former, here):
        if former.namespace == here.namespace and has_ended(former.pid, former.started):
            return f"its controller, process {former.pid} on this machine, has ended"
        return ""
    rebooted = is_same_machine(recorded, here) and _is_of_the_machine(former) and _is_of_the_machine(here)
    return f"its controller, process {former.pid} on this machine, ended when the machine was restarted" if rebooted and here.boot else ""


def is_same_machine(recorded: Mapping[str, Any], here: Controller) -> bool:
    """True when the recorded controller certainly ran on this machine, and not on one that was made from the same image.

    Such machines have the same id, and often the same name: by these alone, one of them looks like the other one after a restart.
    """
    former = known(recorded)
    if former is None:
        return False
    same = former.machine and former.hardware and (former.machine, former.hardware) == (here.machine, here.hardware)
    return bool(same) or _is_of_this_boot(former, here)


def _is_of_this_boot(former: Controller, here: Controller) -> bool:
    """Whether both ran since one start of one machine. A machine that was cloned while it ran has the boot id too, but not the name or the hardware.

    A field that is unknown for one of them is no difference, such as the hardware without the privilege to read it.
    """
    differs = any(then and now and then != now for then, now in ((former.machine, here.machine), (former.hardware, here.hardware)))
    return former.boot != "" and former.boot == here.boot and not differs


def known(recorded: Mapping[str, Any]) -> Controller | None:
    """The recorded controller; None when it is not complete or not of the right types."""
    # An older release wrote no hardware.
    found = [recorded.get(name) for name in ("machine", "boot", "namespace", "started")] + [recorded.get("hardware", "")]
    texts = [text for text in found if isinstance(text, str)]
    pid = recorded.get("pid")
    if not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid < 2**31 or len(texts) < len(found):
        return None
    return Controller(machine=texts[0], boot=texts[1], namespace=texts[2], pid=pid, started=texts[3], hardware=texts[4])


def has_ended(pid: int, began: str) -> bool:
    """True when no process has this id, or one that began at another time."""
    try:
        # A process of another user may be hidden in /proc, but not from this question.
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    now = started(pid)
    return now != "" and began != "" and now != began


def started(pid: int) -> str:
    """When the process started, in the form of this system; `ENDED` for a zombie, empty when that cannot be read."""
    try:
        stat = proc.stat(pid)
    except OSError:
        return "" if os.path.exists("/proc/self/stat") else _started_by_ps(pid)
    return ENDED if stat.state in ("Z", "X") else stat.began


def _started_by_ps(pid: int) -> str:
    try:
        found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return found.stdout.strip()


def _machine() -> str:
    """The machine, without giving its id away, which is confidential; empty when it has none."""
    machine_id = next(filter(None, map(_first_line, MACHINE_IDS)), "")
    if len(machine_id) != 32:
        return ""
    return _checksum("alwayson.upgrade", machine_id, platform.node())


def _hardware() -> str:
    """The machine's own id, without giving it away; empty when it has none that means anything, or when this user may not read it."""
    found = _first_line(HARDWARE_ID).lower()
    is_one = len(found) == 36 and found not in NO_IDS and len(set(found) - {"-"}) >= DIGITS_OF_AN_ID
    return _checksum("alwayson.upgrade", found) if is_one else ""


def _checksum(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _namespace() -> str:
    """The namespace in which process ids, and times of processes, are valid; empty when the system does not show it."""
    try:
        of_processes = os.readlink(PROCESS_NAMESPACE)
    except OSError:
        return ""
    with contextlib.suppress(OSError):
        return f"{of_processes} {os.readlink(TIME_NAMESPACE)}"
    return of_processes


def _is_of_the_machine(controller: Controller) -> bool:
    return controller.namespace.split(" ")[0] == OF_THE_MACHINE


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as handle:
            return handle.readline(200).strip()
    except OSError:
        return ""
