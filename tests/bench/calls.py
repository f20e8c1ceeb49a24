# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a call of each module costs beside `ansible.builtin.ping`, how many tasks a member is in a roll, and the roll beside the members' own work.

    build/venv/bin/python tests/bench/calls.py                                        all of it, some three minutes
    build/venv/bin/python tests/bench/calls.py --only calls --modules database_info,traffic_info --rounds 9
    build/venv/bin/python tests/bench/calls.py --only roll --rolls 3
    build/venv/bin/python tests/bench/calls.py --only tasks                           an upgrade, and which of its tasks cost most

calls: on the embedded fleet, in one run of ansible-playbook, each module in turn with `ping` before or after it. The processor seconds are those of the
controller, its worker, and the module with all that it starts; the ratio is the median of the pairs. The first pair, in which Ansible packs the module,
is left out. `(refused)` stands after a call that has nothing to do here: it ends with an error as soon as the module has loaded what it needs.
roll: the demo (half-pool, six members) upgraded: the tasks that began for each member in the plays of the roll, and the seconds of the roll beside the
longest of each half, which is the members' own work.
tasks: the same upgrade, with the processor seconds of each task. It waits for every worker before the next task, so that its times are no measure.
Written to build/bench/calls.json too. Wall seconds on a busy machine are no measure; the ratios of processor seconds are.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import statistics
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

import yaml
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.summary import summarise
from fleet import members, postgres
from fleet.demo import interruptible, playbook_environment, run_playbook, stop_probe
from fleet.embedded import EmbeddedFleet
from fleet.layout import BACKEND, TENANTS, Layout

OUTPUT = REPOSITORY / "build" / "bench"
PLUGINS = Path(__file__).parent / "plugins"
PARTS = ("calls", "roll", "tasks")
SHOWN_TASKS = 40
# As on a load balancer, and not in the worker: a worker does no work in an environment of its own.
BY_MODULE = "by module"
PING = "ansible.builtin.ping"
ROLL = "Roll | "


def calls_of(layout: Layout, directory: Path) -> dict[str, dict]:
    """Name of a call to its module and its options. None of them changes anything that the next one needs."""
    traffic = {"load_balancers": [{"name": one.name, "endpoint": one.traffic_endpoint} for one in layout.load_balancers]}
    member = layout.members[0]
    root = {"root": str(member.directory)}
    commands = {f"{verb}_command": members.command(member, verb) for verb in ("stop", "start", "status")}
    login = {"login_host": layout.database.address, "login_port": layout.database.port, "login_user": postgres.OWNER}
    lock = {"service": "bench", "directory": str(directory)}
    version = [{"name": "version", "url": f"http://{member.endpoint}/version"}]
    servers = {"old_primary": {"name": "db1", "host": layout.database.address}, "new_primary": {"name": "db2", "host": layout.database.address},
               "login_user": postgres.OWNER}
    migration = {"release": "2.0.0", "phase": "expand", "steps": []}
    data = {"data_directory": str(directory / "nothing"), "stop_command": ["false"], "start_command": ["false"]}
    return {
        "database_info": {**login, "databases": list(TENANTS.values())},
        "database_info sqlite": {"engine": "sqlite", "databases": [str(directory / "bench.db")]},
        "database_migration": {**login, **migration, "databases": list(TENANTS.values())},
        "database_backup": {**login, "directory": str(directory / "nothing"), "state": "verified"},
        "database_restore": {**login, "directory": str(directory / "nothing"), "method": "logical"},
        "database_switchover": {**servers, "poolers": []},
        "database_pooler": {**servers, "pooler": {"name": "pooler1", "host": "127.0.0.1", "user": "nobody", "file": str(directory / "nothing")}},
        "database_rejoin": {**login, **data, "name": "db1", "primary_conninfo": "host=127.0.0.1"},
        "database_fence": {"data_directory": data["data_directory"], "stop_command": ["false"], "system_identifier": "1", "new_timeline": 2},
        "traffic_info": {**traffic, "backend": BACKEND},
        f"traffic_info {BY_MODULE}": {**traffic, "backend": BACKEND},
        "traffic_member": {**traffic, "backend": BACKEND, "members": [member.name], "state": "ready"},
        f"traffic_member {BY_MODULE}": {**traffic, "backend": BACKEND, "members": [member.name], "state": "ready"},
        "traffic_weight": {**traffic, "backend": BACKEND, "members": [member.name], "percent": 100},
        "traffic_route": {**traffic, "map": "none.map", "key": "active", "backend": BACKEND},
        "traffic_read_only": {**traffic, "map": "none.map", "key": "shop", "state": "open"},
        "canary_verdict": {**traffic, "backend": BACKEND, "members": [member.name], "seconds": 0},
        "haproxy_handover": {"name": "lb1", "endpoint": "unix:/nothing"},
        "release_info": root,
        "release": {**root, **commands, "version": "1.0.0", "state": "current"},
        "member_info": {**root, **commands, "serving": True, "address": str(member.endpoint), "in_a_row": 1,
                        "description": {"health_path": "/healthz", "version_path": "/version", "version_query": "release", "version_header": None,
                                        "version_pattern": None, "has_version_command": False}},
        "smoke_test": {"tests": version, "in_a_row": 1},
        "fleet_lock_info": lock,
        "fleet_lock": {**lock, "state": "released"},
        "fleet_fence": {"fence": {"token": 1, "owner": "bench", "path": str(directory / "bench.fence")}},
        "package_updates_info": {"refresh": False},
        "package_updates": {"state": "released", "owner": "bench"},
        "migration_tool_info": {"ledger": str(directory / "bench.json"), "status_command": ["true"]},
        "migration_tool": {"ledger": str(directory / "bench.json"), "release": "2.0.0", "command": ["true"], "status_command": ["true"]},
        "signature_info": {"artifact": str(directory / "nothing"), "signature": str(directory / "nothing"), "keys": str(directory / "nothing"),
                           "sha256": "0" * 64},
        "availability_probe": {"state": "observed", "directory": str(directory / "nothing")},
    }


def play_of(calls: dict[str, dict], rounds: int) -> list[dict]:
    """The play that makes each call once more than there are rounds, each time beside a ping, before it and after it by turns."""
    tasks = []
    for number in range(rounds + 1):
        for name, options in calls.items():
            keywords = {"environment": {"BENCH": "1"}} if name.endswith(BY_MODULE) else {}
            pair = [{"name": f"{name}|ping", PING: {}}, {"name": f"{name}|call", f"alwayson.upgrade.{name.split()[0]}": options, **keywords}]
            tasks += pair if number % 2 == 0 else pair[::-1]
    return [{"hosts": "localhost", "gather_facts": False, "ignore_errors": True, "tasks": tasks}]


def environment_for(directory: Path, waits: bool) -> dict[str, str]:
    """The callback that keeps the figures, beside what the fleet's playbooks have."""
    return {"ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS), "ANSIBLE_CALLBACKS_ENABLED": "task_costs", "TASK_COSTS_FILE": str(directory / "costs.json"),
            "TASK_COSTS_WAIT": str(int(waits))}


def cost_of_calls(fleet: EmbeddedFleet, options: argparse.Namespace) -> dict:
    """Name of a call to the median of its seconds, of the pings' beside it, and of their ratios."""
    directory = fleet.directory
    with contextlib.closing(sqlite3.connect(directory / "bench.db")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY)")
    calls = calls_of(fleet.layout, directory)
    chosen = {name: call for name, call in calls.items() if not options.modules or name in options.modules or name.split()[0] in options.modules}
    if not chosen:
        sys.exit(f"no such module: choose among {', '.join(calls)}")
    play = directory / "calls.yml"
    play.write_text(yaml.safe_dump(play_of(chosen, options.rounds), sort_keys=False), encoding="utf-8")
    with (directory / "calls.log").open("w", encoding="utf-8") as log:
        subprocess.run([str(options.ansible_playbook), "-i", str(fleet.inventory), str(play)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                       env={**playbook_environment(directory), **environment_for(directory, waits=True)}, check=True, cwd=directory)
    facts = json.loads((directory / "costs.json").read_text(encoding="utf-8"))
    figures = {}
    for name in chosen:
        ours, pings = ([seconds for _play, task, seconds in facts["seconds"] if task == f"{name}|{which}"][1:] for which in ("call", "ping"))
        figures[name] = {"seconds": statistics.median(ours), "ping": statistics.median(pings), "refused": f"{name}|call" in facts["failed"],
                         "ratio": statistics.median(one / other for one, other in zip(ours, pings)), "pairs": len(ours)}
        print(f"{name:26} {figures[name]['seconds']:.3f} s  ping {figures[name]['ping']:.3f} s  ratio {figures[name]['ratio']:.2f}"
              f"{'  (refused)' if figures[name]['refused'] else ''}", flush=True)
    return figures


def upgraded(directory: Path, options: argparse.Namespace, waits: bool) -> tuple[dict, set[str]]:
    """What the callback has kept of one upgrade of the demo, and the names of the members."""
    with EmbeddedFleet(directory, is_replicated=True) as fleet:
        try:
            with (directory / "roll.log").open("w", encoding="utf-8") as log:
                code = run_playbook("upgrade", directory, {"upgrade_release": "2.0.0", "upgrade_method": options.method, "upgrade_database_standbys": 1},
                                    environment=environment_for(directory, waits), ansible_playbook=str(options.ansible_playbook), output=log)
        finally:
            stop_probe(directory / "probe")
        if code:
            sys.exit(f"the upgrade ended with {code}; see {directory / 'roll.log'}")
        names = {member.name for member in fleet.layout.members}
    return json.loads((directory / "costs.json").read_text(encoding="utf-8")), names


def cost_of_tasks(directory: Path, options: argparse.Namespace) -> dict:
    """Task to its calls and the seconds of all of them."""
    facts, _names = upgraded(directory, options, waits=True)
    figures: dict[str, dict] = {}
    for play, task, seconds in facts["seconds"]:
        row = figures.setdefault(f"{play} > {task}", {"times": 0, "seconds": 0.0})
        row["times"] += 1
        row["seconds"] += seconds
    print(f"{sum(row['seconds'] for row in figures.values()):.1f} s in {len(facts['seconds'])} tasks, of which cost most:")
    for name, row in sorted(figures.items(), key=lambda item: -item[1]["seconds"])[:SHOWN_TASKS]:
        print(f"{row['seconds']:6.2f} s  {row['times']:3} times  {name}")
    return figures


def cost_of_roll(directory: Path, options: argparse.Namespace) -> dict:
    """The tasks of a member, and the roll beside the members' own work, of one upgrade of the demo."""
    facts, names = upgraded(directory, options, waits=False)
    report = summarise(json.loads((directory / "report.json").read_text(encoding="utf-8")))
    tasks: dict[str, list[str]] = {}
    for play, hosts in facts["tasks"].items():
        for host in names & set(hosts) if play.startswith(ROLL) else ():
            tasks.setdefault(host, []).extend(hosts[host])
    each = [len(begun) for begun in tasks.values()]
    figures = {"tasks": {"fewest": min(each), "most": max(each)}, "names": max(tasks.values(), key=len), "roll": report["roll_s"],
               "work": report["duration_floor_s"], "ratio": report["roll_s"] / report["duration_floor_s"]}
    print(f"tasks a member: {figures['tasks']['fewest']} to {figures['tasks']['most']}; the roll {figures['roll']:.2f} s, "
          f"the members' own work {figures['work']:.2f} s, ratio {figures['ratio']:.2f}", flush=True)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part, by default calls and roll")
    parser.add_argument("--modules", type=lambda text: text.split(","), default=[], help="calls of these modules only")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each call")
    parser.add_argument("--rolls", type=int, default=1, help="upgrades of the demo, of which the median is printed")
    parser.add_argument("--method", choices=("half_pool", "rolling"), default="half_pool")
    parser.add_argument("--ansible-playbook", type=Path, default=Path(sys.executable).with_name("ansible-playbook"), help="another core's program")
    options = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    figures: dict = {}
    with interruptible():
        if "calls" in (options.only or PARTS[:2]):
            with EmbeddedFleet(OUTPUT / "calls", members=2) as fleet:
                figures["calls"] = cost_of_calls(fleet, options)
        if "roll" in (options.only or PARTS[:2]):
            figures["roll"] = [cost_of_roll(OUTPUT / "roll", options) for _number in range(options.rolls)]
            print(f"tasks of a member: {', '.join(figures['roll'][-1]['names'])}")
            print(f"median ratio of {options.rolls}: {statistics.median(one['ratio'] for one in figures['roll']):.2f}")
        if "tasks" in (options.only or ()):
            figures["tasks"] = cost_of_tasks(OUTPUT / "roll", options)
    (OUTPUT / "calls.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
