# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The events of a roll as the strategy and the plays would send them, without either; seeded, so that everybody sees the same roll."""

from __future__ import annotations

import random

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.events import fold
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.view import View
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.words import log_entry

T0 = 1_772_719_331.0  # 5 March 2026, 14:02:11 UTC
STAGES = (("alwayson.upgrade.traffic_member", "drained", "Take the member out of traffic", 1.4),
          ("alwayson.upgrade.release", "current", "Make the release current", 3.0),
          ("alwayson.upgrade.smoke_test", None, "Ask the service and check its answers", 2.0),
          ("alwayson.upgrade.traffic_member", "ready", "Bring the member back into traffic", 1.6))
BEFORE_ROLL = (("observe", 1.6), ("plan", 0.4), ("guard", 0.9), ("prepare", 11.0))
POOL = "app"


class Roll:
    """A rolling upgrade of *size* members in zones, *window* at a time; ``bad`` members fail their smoke test and return, ``lost`` ones vanish."""

    def __init__(self, size: int = 6, window: int = 2, *, zones: int = 2, bad: tuple[str, ...] = (), lost: tuple[str, ...] = (), expected_s: float = 0.0,
                 prober: bool = True, method: str = "rolling") -> None:
        digits = len(str(size))
        self.names = [f"app{number:0{digits}}" for number in range(1, size + 1)]
        self.zone = {name: ["east", "west", "north", "south"][index * zones // size] if zones <= 4 else f"zone{index * zones // size + 1:02}"
                     for index, name in enumerate(self.names)}
        self.window, self.floor, self.bad, self.lost, self.expected_s, self.prober, self.method = window, size - window, bad, lost, expected_s, prober, method
        self.chance = random.Random(7)
        self.events: list[dict] = []
        self.live = set(self.names)
        self._make()

    def until(self, seconds: float, view: View | None = None) -> View:
        """The view after all events of the first *seconds*."""
        view = view or View()
        for event in self.events:
            if event["at"] > T0 + seconds:
                break
            for reported in fold(view, event):
                log_entry(view, reported)
        fold(view, {"event": "tick", "at": T0 + seconds})
        return view

    @property
    def seconds(self) -> float:
        return self.events[-1]["at"] - T0

    # -- the making

    def _make(self) -> None:
        at = self._prologue()
        waves = [self.names[index:index + self.window] for index in range(0, len(self.names), self.window)]
        self._say(at, "facts", host="localhost", facts={"alwayson_phases": {**self.phases, "roll": {"started": at}}})
        self._say(at, "play_begins", play="Roll | the first step", strategy="alwayson.upgrade.rolling")
        self._say(at, "roll_begins", play="Roll | the first step", pools={POOL: {"size": len(self.names), "window": self.window, "floor": self.floor,
                                                                                 "steps": [len(self.names)]}},
                  members=[{"name": name, "pool": POOL, "domain": self.zone[name], "step": 0, "pending": True, "in_traffic": True,
                            "expected_s": self.expected_s} for name in self.names])
        slots = [at] * self.window
        stopped = None
        for name in [name for wave in waves for name in wave]:
            begins = min(slots)
            if stopped is not None and begins >= stopped:
                break
            ends, failed = self._member(name, begins)
            ends = round(ends, 3)
            slots[slots.index(begins)] = ends
            stopped = min(ends, stopped) if failed and stopped is not None else ends if failed else stopped
        self.events.sort(key=lambda event: event["at"])
        self._seal(max(slots), stopped)

    def _prologue(self) -> float:
        """Up to the roll: the service, what was observed, the plan, and the phases that are over."""
        self._say(T0, "run_begins", playbook="upgrade.yml", check=False)
        self._say(T0 + 0.3, "facts", host="localhost", facts={"alwayson_service": {
            "service": "shop", "method": self.method, "direction": "upgrade", "release": "2.0.0", "report_directory": "alwayson-report"}})
        at, self.phases = T0 + 0.4, {}
        for name, took in BEFORE_ROLL:
            self._say(at, "facts", host="localhost", facts={"alwayson_phases": {**self.phases, name: {"started": at}}})
            if name == "observe":
                self._say(at + 1, "facts", host="localhost", facts={"alwayson_observed": {
                    "members": {host: {"domain": self.zone[host], "release": "1.0.0"} for host in self.names}}})
            if name == "plan":
                self._say(at + 0.1, "facts", host="localhost", facts={"alwayson_plan": self._plan()})
            if name == "prepare":
                self._say(at + 0.5, "task_begins", task="Back up and prove every database")
                self._say(at + 0.5, "host_begins", host="db1", task="Back up and prove every database", action="alwayson.upgrade.database_backup", state=None)
                self._say(at + took - 0.2, "result", host="db1", task="Back up and prove every database", outcome="changed")
            at += took
            self.phases[name] = {"started": at - took, "finished": at}
            self._say(at, "facts", host="localhost", facts={"alwayson_phases": dict(self.phases)})
        return at

    def _plan(self) -> dict:
        waves = [self.names[index:index + self.window] for index in range(0, len(self.names), self.window)]
        return {"service": "shop", "method": self.method, "direction": "upgrade", "release_from": "1.0.0", "release_to": "2.0.0", "pool_size": len(self.names),
                "live": list(self.names), "pending": list(self.names), "limits": {"max_unavailable": self.window, "min_live": self.floor},
                "waves": [{"step": 0, "members": wave, "live": self.floor, "reason": ""} for wave in waves], "steps": [list(self.names), []],
                "refusals": [], "nothing_to_do": False}

    def _member(self, name: str, at: float) -> tuple[float, bool]:
        """One member's way; returns when it was over and whether it failed."""
        begins = at
        self._say(at, "started", member=name, pool=POOL, direction="forward")
        for action, state, task, usual in STAGES:
            self._say(at, "host_begins", host=name, task=task, action=action, state=state)
            took = usual * self.chance.uniform(0.8, 1.3)
            if state == "drained":
                self._sees(at + took, name, live=False)
            at += took
            if state == "current" and name in self.lost:
                why = "Failed to connect to the host via ssh: connection timed out"
                self._say(at, "result", host=name, task=task, outcome="unreachable", why=why)
                self._say(at + 0.01, "finished", member=name, pool=POOL, outcome="lost", seconds=at - begins, why=why)
                return at + 0.01, True
            if "smoke" in action and name in self.bad:
                return self._goes_back(name, begins, at, task), True
            if state == "ready":
                self._sees(at - 0.05, name, live=True)
        self._say(at, "facts", host=name, facts={"alwayson_outcome": {"outcome": "upgraded"}})
        self._say(at + 0.01, "finished", member=name, pool=POOL, outcome="ok", seconds=at - begins, why="")
        return at + 0.01, False

    def _goes_back(self, name: str, begins: float, at: float, task: str) -> float:
        why = f"/healthz of {name} answered 503, expected 200"
        self._say(at, "result", host=name, task=task, outcome="failed", why=why)
        for action, state, again, usual in STAGES[1:]:
            self._say(at, "host_begins", host=name, task=again, action=action, state=state)
            at += usual
        self._sees(at, name, live=True)
        self._say(at, "facts", host=name, facts={"alwayson_outcome": {"outcome": "returned", "why": f"{task}: {why}"}})
        self._say(at + 0.01, "finished", member=name, pool=POOL, outcome="returned", seconds=at - begins, why=f"{task}: {why}")
        return at + 0.01

    def _sees(self, at: float, name: str, *, live: bool) -> None:
        self._say(at, "live", name=name, seen=live)

    def _seal(self, end: float, stopped: float | None) -> None:
        """Fill in what follows from the order in time: who is live, why the roll waits or stops, the prober's figures."""
        live, started, sealed = set(self.names), set(), []
        for event in self.events:
            if event["event"] == "live" and "seen" in event:
                (live.add if event.pop("seen") else live.discard)(event.pop("name"))
                event["pools"] = {POOL: sorted(live)}
            sealed.append(event)
            if event["event"] == "started":
                started.add(event["member"])
                if len(started) >= self.window:
                    sealed.append({"event": "waiting", "at": event["at"], "reason": f"{self.window} in flight, as many as rolling_max_unavailable allows"})
            if event["event"] == "finished" and event["outcome"] != "ok" and event["at"] == stopped:
                sealed.append({"event": "stopped", "at": event["at"], "reason": f"{event['member']} failed and the budget is 0"})
        left = [name for name in self.names if name not in started]
        self.events = sealed
        self._say(end + 0.1, "roll_ends", not_started=left)
        phases = {**self.phases, "roll": {"started": T0 + 14.3, "finished": end + 0.2}}
        self._say(end + 0.2, "facts", host="localhost", facts={"alwayson_phases": phases})
        if self.prober:
            self.events += [{"event": "probe", "at": T0 + second, "live": self._probe(second)} for second in range(4, int(end - T0) + 1)]
            self.events.sort(key=lambda event: event["at"])

    def _probe(self, second: int) -> dict:
        chance = random.Random(second)
        share = min(1.0, max(0.0, (second - 16) / 40))
        rows = [{"t": T0 + at, "scheduled": 250, "failed": 0, "p50": 3.0, "p99": random.Random(at).uniform(12, 40), "p100": 60.0,
                 "versions": {"1.0.0": round(250 * (1 - share)), "2.0.0": round(250 * share)}, "void": False} for at in range(max(4, second - 60), second)]
        return {"started": T0 + 4, "now": T0 + second - chance.uniform(0, 0.9), "rate": 250.0, "requests_scheduled": 250 * (second - 3), "requests_failed": 0,
                "failures_by_class": {"timeout": 0, "http_5xx": 0}, "version_regressions": 0, "series": rows}

    def _say(self, at: float, event: str, **facts) -> None:
        self.events.append({"event": event, "at": round(at, 3), **facts})
