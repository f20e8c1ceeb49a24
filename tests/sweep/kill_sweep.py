# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kill sweep: the controller of an upgrade, a rollback or a patch is killed, and the very same command continues from another directory.

    build/venv/bin/python tests/sweep/kill_sweep.py --method half_pool             # every event; a line each in build/sweep/results.jsonl
    build/venv/bin/python tests/sweep/kill_sweep.py --method rolling --events 6    # a sample, spread evenly
    build/venv/bin/python tests/sweep/kill_sweep.py --part 1/2                     # every other event; 2/2 beside it has the rest
    build/venv/bin/python tests/sweep/kill_sweep.py --method canary --random 15 --seed 1    # so many kills at random events of random playbooks

The commands are the README's: an upgrade names its release, a rollback and a patch name nothing. failover.yml is not swept; two of its
runs beside each other are: switchover_sweep.py.

After each pair of a killed and a resumed run: the resumed one ended with 0, every member runs the release and takes traffic on every load balancer (with
blue-green: the pool that has the traffic on every load balancer does), every application was started exactly once for it, every package update is
installed and none stays held, no migration stands in the ledger twice, no lock is left. An independent prober asks through both load balancers all the time;
not one request may fail.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from fleet.demo import interruptible, probe, run_playbook, stop_probe
from fleet.embedded import EmbeddedFleet
from fleet.layout import BACKEND, BLUE_GREEN, ROUTE_KEY
from sweep.updates import Updates

PLUGINS = Path(__file__).parent / "plugins"
OLD, NEW = "1.0.0", "2.0.0"
KILLED = -9
STARTED = re.compile(r"release (\S+) started")
# For so long a canary of a few members is watched, of what the prober sends: a verdict needs ten requests.
SOAK_S = 4
# A prober of a fleet ends by itself after this, whatever becomes of the sweep.
PROBE_MAX_S = 7200
UPGRADE, ROLLBACK, PATCH = "upgrade", "rollback", "patch"
BY_COLOUR = "blue_green"
METHODS = ("half_pool", "rolling", "canary", BY_COLOUR)
# Until a whole run has shown how many events there are.
EVENTS_AT_FIRST = 60


class Sweep:
    """One fleet, its prober, and the runs against it."""

    def __init__(self, directory: Path, method: str, members: int = 6) -> None:
        self.directory = directory
        self.fleet = EmbeddedFleet(directory, members=members, pools=BLUE_GREEN if method == BY_COLOUR else (BACKEND,))
        self.method = method
        self.has_databases = True
        self.updates = Updates(directory / "updates", [])
        self.elsewhere = directory / "elsewhere"
        self.failed_before = 0

    def __enter__(self) -> Sweep:
        self.fleet.__enter__()
        self.elsewhere.mkdir(exist_ok=True)
        probe(self.directory / "outer", "started", rate=40, max_seconds=PROBE_MAX_S, max_requests=40 * PROBE_MAX_S,
              targets=[balancer.front_url for balancer in self.fleet.layout.load_balancers],
              mix=[{"kind": "keepalive", "share": 30, "path": "/products?tenant=a"}, {"kind": "new", "share": 30, "path": "/products?tenant=b"},
                   {"kind": "sticky", "share": 20, "path": "/products?tenant=a"},
                   {"kind": "write", "share": 10, "path": "/orders?tenant=b", "body": {"product": 1, "quantity": 2}, "status": [201]}]).check_returncode()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            stop_probe(self.directory / "outer")
        finally:
            self.fleet.__exit__(*error)

    @property
    def playbooks(self) -> tuple[str, ...]:
        """What may be run: blue-green patches the side without traffic, and has no patch of its own."""
        return (UPGRADE, ROLLBACK) if self.method == BY_COLOUR else (UPGRADE, ROLLBACK, PATCH)

    def run(self, playbook: str, kill_at: int | str = 0) -> tuple[int, list[str]]:
        """Run a playbook, killed at an event (its number, or as the plugin kill_at reads it) or not at all; returns its status and the events."""
        events = self.directory / "events"
        described = yaml.safe_load((REPOSITORY / "tests" / "fleet" / "blue_green.yml").read_text(encoding="utf-8")) if self.method == BY_COLOUR else {}
        variables = {**described, "upgrade_method": self.method, "upgrade_probe": {}, "upgrade_soak": SOAK_S, **({} if self.has_databases else {
            "upgrade_databases": None, "upgrade_migrations": None}), **({"upgrade_release": NEW} if playbook == UPGRADE else {})}
        with (self.directory / f"{playbook}.log").open("w", encoding="utf-8") as output:
            code = run_playbook(playbook, self.directory, variables, output=output, working_directory=self.elsewhere if kill_at else self.directory,
                                environment={"ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS), "ANSIBLE_CALLBACKS_ENABLED": "kill_at",
                                             "KILL_AT_EVENT": str(kill_at), "KILL_AT_EVENTS_FILE": str(events)})
        return code, events.read_text(encoding="utf-8").splitlines()

    def starts(self) -> dict[str, list[str]]:
        """Member to the releases that its application was started with, in order."""
        return {member.name: STARTED.findall((member.directory / "log" / "supervisor.log").read_text(encoding="utf-8")) for member in self.fleet.layout.members}

    def serving(self) -> set[str]:
        """Blue-green: the pools that the load balancers send everybody to."""
        answers = [self.fleet.runtime(balancer.name, f"show map {self.fleet.layout.route_map(balancer)}") for balancer in self.fleet.layout.load_balancers]
        return {line.split()[2] for answer in answers for line in answer.splitlines() if line.split()[1:2] == [ROUTE_KEY]}

    def users_get(self) -> set[str]:
        """The releases that members answer which users reach."""
        pools = self.serving() if self.method == BY_COLOUR else {BACKEND}
        return {self.fleet.member_version(member.name) for member in self.fleet.layout.members if member.pool in pools}

    def problems(self, playbook: str, release: str, code: int, before: dict[str, list[str]]) -> list[str]:
        """What is wrong after a resumed run; nothing, hopefully."""
        found = [] if code == 0 else [f"the resumed run ended with {code}"]
        found += [] if self.users_get() == {release} else [f"users get {sorted(self.users_get())}"]
        if self.method == BY_COLOUR:
            found += [] if len(self.serving()) == 1 else [f"the traffic goes to {sorted(self.serving())}"]
        else:
            found += self._member_problems([] if playbook == PATCH else [release], before)
            found += self.updates.problems()
        found += [f"{path.name} is left" for path in (self.directory / "state").glob("*.lock") if path.name == "shop.lock"]
        live = json.loads((self.directory / "outer" / "live.json").read_text(encoding="utf-8"))
        failed, self.failed_before = live["requests_failed"] - self.failed_before, live["requests_failed"]
        return found + ([f"{failed} requests failed"] if failed else [])

    def _member_problems(self, wanted: list[str], before: dict[str, list[str]]) -> list[str]:
        everybody = {member.name for member in self.fleet.layout.members}
        started = {name: self.starts()[name][len(before[name]):] for name in sorted(everybody)}
        found = [f"{name} was started with {releases}" for name, releases in started.items() if releases != wanted]
        return found + [f"out of traffic on {balancer}: {', '.join(sorted(everybody - members))}"
                        for balancer, members in self.fleet.in_traffic().items() if everybody - members]

    def target(self, playbook: str) -> str:
        """The release that users get when the playbook has done what it is to do."""
        return {UPGRADE: NEW, ROLLBACK: OLD, PATCH: min(self.users_get())}[playbook]

    def be_where_it_begins(self, playbook: str) -> None:
        """Go the other way first when the fleet is there already; a patch has something to install."""
        if playbook == PATCH:
            if not self.updates.folders:
                self.updates = Updates(self.directory / "updates", [member.name for member in self.fleet.layout.members])
                self.updates.install(self.directory / "inventory.yml")
            self.updates.release(self.updates.version + 1)
            return
        other = ROLLBACK if playbook == UPGRADE else UPGRADE
        if self.users_get() == {self.target(playbook)}:
            code, _events = self.run(other)
            if code:
                raise SystemExit(f"{other} ended with {code}: see {self.directory / other}.log")

    def killed_and_resumed(self, playbook: str, event: int | str) -> dict:
        """One kill, one resume, and what was found."""
        release, before, began = self.target(playbook), self.starts(), time.monotonic()
        code, events = self.run(playbook, event)
        is_killed = code == KILLED
        if is_killed:
            code, _events = self.run(playbook)
        return {"method": self.method, "playbook": playbook, "event": event, "killed": is_killed, "at": events[-1] if events else "",
                "events": len(events), "seconds": round(time.monotonic() - began), "problems": self.problems(playbook, release, code, before)}

    def leave_out_databases(self) -> None:
        """From now on: the migrations that the new release needs are applied first."""
        if self.run(UPGRADE)[0]:
            raise SystemExit(f"the first upgrade failed: see {self.directory / UPGRADE}.log")
        self.has_databases = False


def spread(count: int) -> list[int]:
    """1..count in an order whose every beginning is spread over the whole (bits reversed)."""
    width = count.bit_length()
    order = [int(format(number, f"0{width}b")[::-1], 2) for number in range(2 ** width)]
    return [number for number in order if 1 <= number <= count]


def every_event(sweep: Sweep, options: argparse.Namespace, known: set[tuple]):
    """The playbook and the event of each kill, over all events or a sample of them."""
    part, parts = map(int, options.part.split("/"))
    counts = {}
    for playbook in sweep.playbooks:
        sweep.be_where_it_begins(playbook)
        counts[playbook] = len(sweep.run(playbook)[1])
    chosen = spread(max(counts.values()))[:options.events or None][part - 1::parts]
    print(f"{options.method}: {', '.join(f'{count} events of {playbook}' for playbook, count in counts.items())}; sweeping {len(chosen)} of them", flush=True)
    for event in chosen:
        for playbook in sweep.playbooks:
            if event <= counts[playbook] and not ((options.method, playbook, event) in known and options.go_on):
                result = yield playbook, event
                if not result["killed"]:
                    # The first run had more to do than all later ones: migrations are applied once.
                    counts[playbook] = result["events"]


def random_events(sweep: Sweep, options: argparse.Namespace):
    """The playbook and the event of each kill, until so many controllers were killed."""
    dice = random.Random(options.seed)
    counts = dict.fromkeys(sweep.playbooks, EVENTS_AT_FIRST)
    killed = 0
    while killed < options.random:
        # What is possible from here, so that nothing has to be run in between.
        playbook = dice.choice([name for name in sweep.playbooks if name == PATCH or sweep.users_get() != {sweep.target(name)}])
        result = yield playbook, dice.randint(1, counts[playbook])
        killed += result["killed"]
        counts[playbook] = result["events"] if not result["killed"] else counts[playbook]


def main() -> int:
    options = _options()
    results = REPOSITORY / "build" / "sweep" / "results.jsonl"
    results.parent.mkdir(parents=True, exist_ok=True)
    failed = swept = 0
    deadline = time.monotonic() + options.minutes * 60
    name = f"{options.method}-random-{options.seed}" if options.random else f"{options.method}-{options.part.replace('/', '-of-')}"
    with interruptible(), Sweep(REPOSITORY / "build" / "sweep" / name, options.method, options.members) as sweep:
        if options.without_databases:
            sweep.leave_out_databases()
        kills = random_events(sweep, options) if options.random else every_event(sweep, options, _known(results))
        result = None
        while time.monotonic() < deadline:
            try:
                playbook, event = kills.send(result)
            except StopIteration:
                break
            sweep.be_where_it_begins(playbook)
            result = sweep.killed_and_resumed(playbook, event)
            swept += result["killed"]
            failed += bool(result["problems"])
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
            print(f"{playbook:8} {event:4} {'killed' if result['killed'] else 'whole':6} {result['seconds']:4} s  {result['at']}"
                  f"  {'; '.join(result['problems']) or 'converged'}", flush=True)
    print(f"{options.method}: {swept} controllers killed, {failed} runs with problems")
    return 1 if failed or not swept else 0


def _known(results: Path) -> set[tuple[str, str, int]]:
    if not results.exists():
        return set()
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    return {(row["method"], row["playbook"], row["event"]) for row in rows if row["killed"] and not row["problems"]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=METHODS, default="half_pool")
    parser.add_argument("--events", type=int, default=0, help="how many events, spread over all of them; 0: every one")
    parser.add_argument("--part", default="1/1", metavar="K/N", help="the Kth of N equal parts of the events")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="instead of these, N kills at random events of random playbooks")
    parser.add_argument("--seed", type=int, default=1, help="of what is random")
    parser.add_argument("--members", type=int, default=6, help="of the fleet")
    parser.add_argument("--without-databases", action="store_true", help="leave out backups and migrations, which are most of a run's time")
    parser.add_argument("--minutes", type=float, default=600, help="start no kill after so many minutes")
    parser.add_argument("--go-on", action="store_true", help="leave out what build/sweep/results.jsonl says converged")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
