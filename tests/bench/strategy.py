# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the strategy costs the controller, and how near to the shortest possible time a roll comes. Both sides of each comparison run in turn, in one run.

    build/venv/bin/python tests/bench/strategy.py cost --hosts 100,500,1000,2000 --rounds 3
    build/venv/bin/python tests/bench/strategy.py time --hosts 80
    build/venv/bin/python tests/bench/strategy.py model --hosts 100,1000 --rounds 20

cost: processor seconds of ansible-playbook and its workers, per host, for ten tasks that do nothing (debug, set_fact), with 20 forks.
time: wall seconds of a roll whose members sleep for drawn durations, k = n/4 at the same time, against the floor max(sum / k, longest) that no
scheduler can go under. `serial: 25%` beside it holds its batch for the slowest member.
model: the same in virtual time, by the scheduler alone, without the controller's own work, over as many draws as there are rounds.
Written to build/bench/ as JSON too.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "build" / "collections"))

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.limits import Limits
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.scheduler import Schedule
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._schedule.steps import Member

OUTPUT = REPOSITORY / "build" / "bench"
FORKS = 20
TASKS = 10
PLAYS = {
    "linear": {"strategy": "ansible.builtin.linear"},
    "serial 25%": {"strategy": "ansible.builtin.linear", "serial": "25%"},
    "free": {"strategy": "ansible.builtin.free"},
    "host_pinned": {"strategy": "ansible.builtin.host_pinned"},
    "rolling": {"strategy": "alwayson.upgrade.rolling", "vars": {"rolling_max_unavailable": FORKS}},
}


def run_play(name: str, keywords: dict, tasks: list, hosts: dict[str, dict], forks: int) -> dict:
    """Run one play; returns its wall seconds, the processor seconds of all its processes, and how many hosts were done."""
    directory = OUTPUT / name.replace(" ", "-").replace("%", "")
    directory.mkdir(parents=True, exist_ok=True)
    inventory = {"all": {"vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}, "children": {"fleet": {"hosts": hosts}}}}
    (directory / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
    (directory / "play.yml").write_text(yaml.safe_dump([{"hosts": "fleet", "gather_facts": False, "tasks": tasks, **keywords}]), encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"), "ANSIBLE_HOME": str(directory / "ansible"),
                   "ANSIBLE_FORKS": str(forks), "ANSIBLE_DEPRECATION_WARNINGS": "false", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (directory / "output.log").open("w", encoding="utf-8") as output:
        code = subprocess.run([str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(directory / "inventory.yml"), str(directory / "play.yml")],
                              env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    done = (directory / "output.log").read_text(encoding="utf-8").count("host is done")
    if code or done != len(hosts):
        sys.exit(f"{name}: ended with {code}, {done} of {len(hosts)} hosts were done; see {directory / 'output.log'}")
    return {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def cost(options: argparse.Namespace) -> dict:
    """Host count to strategy to the processor seconds of every round."""
    tasks = [{"name": f"step {number}", "ansible.builtin.set_fact": {"step": number}} for number in range(TASKS - 1)]
    tasks.append({"name": "done", "ansible.builtin.debug": {"msg": "host is done"}})
    figures: dict = {}
    for count in options.hosts:
        hosts = {f"h{number:04}": {} for number in range(count)}
        of_count = figures.setdefault(str(count), {name: [] for name in options.strategies})
        for number in range(options.rounds):
            for name in (options.strategies if number % 2 == 0 else options.strategies[::-1]):
                of_count[name].append(run_play(name, PLAYS[name], tasks, hosts, FORKS)["cpu"])
                print(f"{count:5} hosts  {name:12} {of_count[name][-1]:7.1f} s of processor  {1000 * of_count[name][-1] / count:6.1f} ms a host", flush=True)
    _show_cost(figures)
    return figures


def _show_cost(figures: dict) -> None:
    for count, of_count in figures.items():
        medians = {name: statistics.median(seconds) for name, seconds in of_count.items()}
        base = medians.get("host_pinned")
        row = "  ".join(f"{name} {1000 * seconds / int(count):.1f}" + (f" ({seconds / base:.2f})" if base else "") for name, seconds in medians.items())
        print(f"{count} hosts, ms of processor a host (against host_pinned): {row}")
        if base and "rolling" in of_count:
            pairs = [ours / theirs for ours, theirs in zip(of_count["rolling"], of_count["host_pinned"])]
            print(f"{count} hosts, rolling against host_pinned, round by round: {', '.join(f'{ratio:.3f}' for ratio in pairs)}")


def durations(kind: str, count: int, seed: int) -> list[float]:
    """Seconds that each member's upgrade takes: lognormal around 4 s, or with one in twenty that takes five times as long."""
    draw = random.Random(seed)
    seconds = [draw.lognormvariate(1.3, 0.4) for _member in range(count)]
    if kind == "slow tail":
        for index in draw.sample(range(count), max(1, count // 20)):
            seconds[index] *= 5
    return [round(each, 2) for each in seconds]


def shortest(seconds: list[float], at_once: int) -> float:
    """No roll with *at_once* members in flight can be shorter."""
    longest = max(seconds)
    return max(sum(seconds) / at_once, longest)


def timing(options: argparse.Namespace) -> dict:
    """Kind of durations to play to wall seconds and their ratio to the floor; one host count."""
    count = options.hosts[0]
    at_once = max(1, count // 4)
    # The wait is a child process of the worker: it costs the controller next to nothing.
    tasks = [{"name": "upgrade", "ansible.builtin.debug": {"msg": "{{ lookup('ansible.builtin.pipe', 'sleep ' ~ takes) }}host is done"}}]
    figures: dict = {}
    for kind in ("lognormal", "slow tail"):
        seconds = durations(kind, count, options.seed)
        floor = shortest(seconds, at_once)
        hosts = {f"h{number:04}": {"takes": each, "rolling_expected_s": each} for number, each in enumerate(seconds)}
        unknown = {name: {"takes": values["takes"]} for name, values in hosts.items()}
        rolling = {"strategy": "alwayson.upgrade.rolling", "vars": {"rolling_max_unavailable": "25%"}}
        plays = {"rolling, durations known": (rolling, hosts), "rolling, first time": (rolling, unknown), "serial 25%": (PLAYS["serial 25%"], unknown)}
        figures[kind] = {"floor": floor, "longest": max(seconds), "at_once": at_once}
        for name, (keywords, members) in plays.items():
            wall = run_play(name.replace(",", ""), keywords, tasks, members, at_once)["wall"]
            figures[kind][name] = wall
            print(f"{kind:9}  {count} hosts, {at_once} at once  {name:24} {wall:6.1f} s  {wall / floor:5.2f} of the floor ({floor:.1f} s)", flush=True)
    return figures


def modelled(seconds: list[float], known: bool) -> float:
    """How long the scheduler's roll takes in virtual time when nothing else costs any."""
    members = [Member(f"h{number:04}", expected_s=each if known else 0.0) for number, each in enumerate(seconds)]
    takes = {member.name: each for member, each in zip(members, seconds)}
    schedule, running, now = Schedule(members, Limits(max_unavailable="25%")), [], 0.0
    while not schedule.done:
        for name in schedule.decide().start:
            schedule.started(name, now)
            heapq.heappush(running, (now + takes[name], name))
        now, name = heapq.heappop(running)
        schedule.finished(name, "ok", now)
    return now


def model(options: argparse.Namespace) -> dict:
    """Kind of durations and host count to the ratios to the floor, one for each draw."""
    figures: dict = {}
    for kind in ("lognormal", "slow tail"):
        for count in options.hosts:
            at_once, ratios = max(1, count // 4), {"rolling, durations known": [], "rolling, first time": [], "serial 25%": []}
            for seed in range(options.seed, options.seed + options.rounds):
                seconds = durations(kind, count, seed)
                floor = shortest(seconds, at_once)
                ratios["rolling, durations known"].append(modelled(seconds, True) / floor)
                ratios["rolling, first time"].append(modelled(seconds, False) / floor)
                batches = [seconds[begin:begin + at_once] for begin in range(0, count, at_once)]
                ratios["serial 25%"].append(sum(map(max, batches)) / floor)
            figures[f"{kind} {count}"] = ratios
            for name, each in ratios.items():
                print(f"{kind:9}  {count:5} hosts, {at_once:3} at once  {name:24} of the floor: median {statistics.median(each):.3f}, worst {max(each):.3f}"
                      f" of {len(each)} draws", flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cost", "time", "model"))
    parser.add_argument("--hosts", type=lambda text: [int(count) for count in text.split(",")], default=[100])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--strategies", type=lambda text: text.split(","), default=list(PLAYS))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    figures = {"cost": cost, "time": timing, "model": model}[options.what](options)
    (OUTPUT / f"{options.what}-{'-'.join(map(str, options.hosts))}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
