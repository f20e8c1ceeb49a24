# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a whole upgrade costs as the fleet grows: processor seconds and memory of the run, the roll beside its floor, sessions opened on each load balancer.

    build/venv/bin/python tests/bench/scale.py                         6, 20, 60 and 200 members, some fifteen minutes
    build/venv/bin/python tests/bench/scale.py --members 20 --rounds 3

Each is a rolling upgrade of the embedded fleet, 6 members at the same time (a third of a smaller fleet), from the plan to the report, with backups, migrations
and the prober, at a low load.

cpu: seconds of ansible-playbook with all its workers, modules and the programs that those start, of the whole run and for each member. The fleet's own
processes, the databases and the prober are not among them.
memory: the most that the largest process of the run had at one time, which is the controller.
roll: seconds from the first drain to the last return, beside the floor max(sum of the members' own work / members at the same time, longest), below which
no scheduler can go.
sessions: connections that the controller and its workers began to each load balancer's runtime API. The prober's are not among them.
Written to build/bench/scale.json too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.summary import summarise
from fleet.demo import begin_playbook, end_playbook, interruptible, stop_probe
from fleet.embedded import EmbeddedFleet

OUTPUT = REPOSITORY / "build" / "bench"
PLUGINS = Path(__file__).parent / "plugins"
SIZES = (6, 20, 60, 200)
AT_ONCE = 6
RATE = 20
RELEASE = "2.0.0"


def sessions(fleet: EmbeddedFleet, connections: Path) -> dict[str, int]:
    """Load balancer to how many connections were begun to its runtime API, its processes' and its master's."""
    counted = Counter(connections.read_text(encoding="ascii").split())
    return {balancer.name: counted[str(balancer.runtime)] + counted[str(balancer.master)] for balancer in fleet.layout.load_balancers}


def upgraded(directory: Path, members: int, ansible_playbook: Path) -> dict:
    """The figures of one upgrade of a fleet of so many members."""
    at_once = min(AT_ONCE, members // 3)
    with EmbeddedFleet(directory, members=members) as fleet:
        try:
            with (directory / "scale.log").open("w", encoding="utf-8") as log:
                began = time.monotonic()
                process = begin_playbook("upgrade", directory, {"upgrade_release": RELEASE, "upgrade_method": "rolling", "upgrade_max_unavailable": at_once,
                                                                "demo_rate": RATE, "demo_capacity": []}, ansible_playbook=str(ansible_playbook), output=log,
                                         environment={"ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS), "ANSIBLE_CALLBACKS_ENABLED": "connections",
                                                      "CONNECTIONS_FILE": str(directory / "connections")})
                try:
                    # Its own figures and those of all that it waited for, which no other child of this process is among.
                    _pid, status, used = os.wait4(process.pid, 0)
                except KeyboardInterrupt:
                    end_playbook(process)
                    raise
                wall, process.returncode = time.monotonic() - began, os.waitstatus_to_exitcode(status)
        finally:
            stop_probe(directory / "probe")
        opened = sessions(fleet, directory / "connections")
        there = sum(fleet.member_version(member.name) == RELEASE for member in fleet.layout.members)
    if process.returncode or there != members:
        sys.exit(f"{members} members: ended with {process.returncode}, {there} have the new release; see {directory / 'scale.log'}")
    report = summarise(json.loads((directory / "report.json").read_text(encoding="utf-8")))
    return {"members": members, "at_once": at_once, "cpu": used.ru_utime + used.ru_stime, "memory_mib": used.ru_maxrss / 1024, "wall": wall,
            "roll": report["roll_s"], "floor": report["duration_floor_s"], "sessions": opened}


def line(figures: dict) -> str:
    opened = ", ".join(f"{name} {count}" for name, count in figures["sessions"].items())
    return (f"{figures['members']:4} members, {figures['at_once']} at once: cpu {figures['cpu']:6.1f} s, {figures['cpu'] / figures['members']:5.2f} s a member;"
            f" memory {figures['memory_mib']:4.0f} MiB; run {figures['wall']:5.0f} s, roll {figures['roll']:6.1f} s, floor {figures['floor']:6.1f} s,"
            f" ratio {figures['roll'] / figures['floor']:4.2f}; sessions {opened}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=lambda text: [int(count) for count in text.split(",")], default=list(SIZES), help="sizes of fleets, from 6 to 200")
    parser.add_argument("--rounds", type=int, default=1, help="upgrades of each size")
    parser.add_argument("--ansible-playbook", type=Path, default=Path(sys.executable).with_name("ansible-playbook"), help="another core's program")
    options = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    runs: list[dict] = []
    with interruptible():
        for _number in range(options.rounds):
            for members in options.members:
                runs.append(upgraded(OUTPUT / f"scale-{members}", members, options.ansible_playbook))
                print(line(runs[-1]), flush=True)
    smallest = None
    for members in options.members:
        own = [run for run in runs if run["members"] == members]
        cpu, memory = statistics.median(run["cpu"] / members for run in own), statistics.median(run["memory_mib"] for run in own)
        smallest = smallest or (members, cpu, memory)
        print(f"{members} members beside {smallest[0]}: {cpu / smallest[1]:.2f} times the processor seconds a member, "
              f"{memory / smallest[2]:.2f} times the memory")
    (OUTPUT / "scale.json").write_text(json.dumps(runs, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
