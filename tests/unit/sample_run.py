# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run records as a real upgrade of six members behind two load balancers leaves them; seeded, so that every test sees the same run."""

from __future__ import annotations

import random

T0 = 1_772_719_331.0  # 5 March 2026, 14:02:11 UTC
OLD, NEW = "1.0.0", "2.0.0"
RATE = 200
KINDS = {"keepalive": 0.515, "new": 0.2, "sticky": 0.2, "slow": 0.005, "write": 0.08}
PHASES = (("observe", 1.6), ("plan", 0.4), ("guard", 0.9), ("prepare", 11.0), ("roll", 0.0), ("open", 5.0), ("finalize", 6.0), ("account", 0.6))


def sample_run(method: str = "half_pool", *, outcome: str = "upgraded", members: int = 6, databases: int = 2, seed: int = 7) -> dict:
    """A complete run record.

    :param outcome: ``upgraded``, ``returned`` (the first member's smoke test failed) or ``stopped`` (the first member was lost).
    """
    chance = random.Random(seed)
    names = [f"app{number}" for number in range(1, members + 1)]
    prepare_ends = T0 + sum(seconds for _name, seconds in PHASES[:4])
    records = {"half_pool": _half_pool, "rolling": _rolling}[method](names, prepare_ends, chance)
    if outcome != "upgraded":
        records = _failed(names, records, outcome)
    roll_ends = max(member["in_at"] or member["stages"][-1]["finished"] for member in records.values() if member["out_at"])
    phases = _phases(roll_ends - prepare_ends, whole=outcome == "upgraded")
    finished = phases[-1]["finished"]
    floor = members // 2 if method == "half_pool" else members - 2
    problems = {"upgraded": [], "returned": [f"{names[0]} was returned to {OLD}: smoke test 'version' saw release 1.0.0"],
                "stopped": [f"{names[0]} was lost during its upgrade and stays out of traffic"]}[outcome]
    return {
        "service": "shop", "release_from": OLD, "release_to": NEW, "method": method, "direction": "upgrade", "started": T0, "finished": finished,
        "ok": outcome == "upgraded", "outcome": {"returned": f"returned to {OLD}"}.get(outcome, outcome), "problems": problems,
        "next_command": "ansible-playbook alwayson.upgrade.status",
        "live_floor": floor, "pool_size": members, "limits": {"max_unavailable": members - floor, "min_live": floor}, "phases": phases, "members": records,
        "databases": {_tenant(index): _database(index, chance) for index in range(databases)},
        "probe": _probe(records, T0 + 2.9, finished, chance), "operator": {"user": "mira", "host": "ops1"}, "core_version": "2.19.14",
    }


def _tenant(index: int) -> str:
    return f"tenant_{chr(ord('a') + index)}" if index < 26 else f"tenant_{index}"


def _member(index: int, step: int, out_at: float, chance: random.Random) -> dict:
    """A member whose work begins at out_at; in_at is when that work is done."""
    stages, now = [], out_at
    for name, least, most in (("drain", 0.9, 2.6), ("release", 1.4, 4.1), ("smoke test", 0.3, 0.7), ("return", 2.0, 2.6)):
        took = round(chance.uniform(least, most), 3)
        stages.append({"name": name, "started": now, "finished": now + took})
        now += took
    proof = {
        balancer: {"before": "ready", "after": "maint", "sessions": 0, "queued": 0, "waited_s": round(chance.uniform(0.4, 0.9), 2)}
        for balancer in ("lb1", "lb2")
    }
    return {"zone": "zone-a" if index % 2 == 0 else "zone-b", "release_before": OLD, "release_after": NEW, "step": step, "outcome": "upgraded",
            "out_at": out_at, "in_at": now, "seconds_out": round(now - out_at, 3), "stages": stages, "drain_proof": proof}


def _half_pool(names: list[str], start: float, chance: random.Random) -> dict:
    half = (len(names) + 1) // 2
    records = {name: _member(index, 0, start + 0.08 * index, chance) for index, name in enumerate(names[:half])}
    flip = max(member["in_at"] for member in records.values()) + 0.3
    for member in records.values():
        member.update(in_at=flip, seconds_out=round(flip - member["out_at"], 3))
    return records | {name: _member(index, 1, flip, chance) for index, name in enumerate(names) if index >= half}


def _rolling(names: list[str], start: float, chance: random.Random, at_once: int = 2) -> dict:
    slots, records = [start] * at_once, {}
    for index, name in enumerate(names):
        slot = slots.index(min(slots))
        records[name] = _member(index, 0, slots[slot], chance)
        slots[slot] = records[name]["in_at"] + 0.35
    return records


def _failed(names: list[str], records: dict, outcome: str) -> dict:
    first = records[names[0]]
    untouched = {"release_after": OLD, "outcome": "untouched", "out_at": None, "in_at": None, "seconds_out": None, "stages": [], "drain_proof": {}}
    records = {name: {**member, **untouched} for name, member in records.items()}
    if outcome == "stopped":
        stages = first["stages"][:2]
        records[names[0]] = {**first, "release_after": None, "outcome": "lost", "in_at": None, "seconds_out": None, "stages": stages}
        return records
    back = {"name": "return", "started": first["stages"][-1]["finished"], "finished": first["stages"][-1]["finished"] + 2.2}
    again = {**first["stages"][-1], "name": "release 1.0.0 again"}
    records[names[0]] = {**first, "release_after": OLD, "outcome": "returned", "why": "smoke test 'version' saw release 1.0.0", "in_at": back["finished"],
                         "seconds_out": round(back["finished"] - first["out_at"], 3), "stages": [*first["stages"][:-1], again, back]}
    return records


def _phases(roll: float, *, whole: bool) -> list[dict]:
    phases, now = [], T0
    for name, seconds in PHASES:
        if not whole and name in ("open", "finalize"):
            continue
        took = roll + 0.4 if name == "roll" else seconds
        phases.append({"name": name, "started": now, "finished": now + took})
        now += took
    return phases


def _database(index: int, chance: random.Random) -> dict:
    backup = {"proven": True, "why": None, "path": f"/var/backups/shop/tenant-{index}-1.0.0.dump", "sha256": f"{chance.getrandbits(256):064x}",
              "size_bytes": chance.randint(40_000, 4_000_000), "tables": 6, "rows": chance.randint(4_000, 90_000), "taken": T0 + 4,
              "seconds_dump": round(chance.uniform(0.3, 1.2), 2), "seconds_restore": round(chance.uniform(0.8, 2.8), 2)}
    step = {"release": NEW, "phase": "expand", "step": "010_orders_currency", "status": "applied", "attempts": 1 + index % 2, "seconds": 0.03}
    return {"host": "db1", "backup": backup, "backup_after": {**backup, "taken": T0 + 50}, "migrations": [step]}


def _probe(records: dict, started: float, finished: float, chance: random.Random) -> dict:
    seconds = int(finished - started)
    series = [_second(started + index, records, chance) for index in range(seconds)]
    scheduled = sum(row["scheduled"] for row in series)
    kinds = {kind: {"scheduled": int(scheduled * share), "failed": 0, "p99": 812.0 if kind == "slow" else 24.0, "p100": 846.2 if kind == "slow" else 61.4}
             for kind, share in KINDS.items()}
    samples = [started + index * 0.25 for index in range(seconds * 4)]
    capacity = [{"t": t, "lb1": _live(records, t), "lb2": _live(records, t + 0.05)} for t in samples]
    return {
        "started": started, "finished": started + seconds, "rate": RATE, "clients": 90, "requests_scheduled": scheduled, "requests_failed": 0,
        "failures_by_class": {}, "version_regressions": 0, "latency_ms": {"p50": 3.4, "p99": 31.6, "p100": 846.2}, "bound_95": 3 / scheduled,
        "void_windows": [], "send_lag_p99_ms": 4.2, "by_kind": kinds, "series": series, "capacity": capacity,
        "versions": {name: sum(row["versions"].get(name, 0) for row in series) for name in (OLD, NEW)},
        "live_min": min(min(row["lb1"], row["lb2"]) for row in capacity),
    }


def _second(moment: float, records: dict, chance: random.Random) -> dict:
    live = [member for member in records.values() if not _is_out(member, moment + 0.5)]
    new = sum(member["release_after"] == NEW and member["in_at"] is not None and member["in_at"] <= moment + 0.5 for member in live)
    scheduled = RATE + chance.randint(-2, 2)
    share = round(scheduled * new / len(live))
    busy = 6 / len(live)
    return {"t": moment, "scheduled": scheduled, "failed": 0, "p50": round(2.6 * busy * chance.uniform(0.9, 1.2), 2),
            "p99": round(14 * busy * chance.uniform(0.8, 1.5), 1), "p100": round(814 + chance.expovariate(1 / 9), 1),
            "versions": {name: number for name, number in ((OLD, scheduled - share), (NEW, share)) if number}}


def _is_out(member: dict, moment: float) -> bool:
    return member["out_at"] is not None and member["out_at"] <= moment < (member["in_at"] or float("inf"))


def _live(records: dict, moment: float) -> int:
    return sum(not _is_out(member, moment) for member in records.values())
