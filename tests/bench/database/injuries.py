# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether every injured backup is refused and no unharmed one is: seeded injuries of backups of PostgreSQL, logical and physical, MariaDB and SQLite.

Injured is also what a dump program rounds, drops or rewrites. A proof that starts what is in its copy counts as an injury of the original.

    build/venv/bin/python tests/bench/database/injuries.py --times 18 --unharmed 10 --seed 1

Each kind of injury is done `--times` times at another place, a backup is proven `--unharmed` times as it is, and as often one is taken under load and proven.
Prints a row for each kind; ends with 1 when an injured one was not refused or an unharmed one was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kind_scenes import KindScene, mariadb_scene, sqlite_scene
from losses import in_the_dump, subscription_of_the_copy
from scene import Scene, load, scene

from ansible_collections.alwayson.upgrade.plugins.module_utils._database.backup.store import digests
from fleet.postgres import use_driver

ENDS = ("", ".json", ".sha256")
DUMP_HEAD_BYTES = 2000
PAGE = 8192


class Injuries:
    """Injures the newest backup of a method again and again; `refused` and `trials` count by kind, `missed` says what was not refused."""

    def __init__(self, place: Scene | KindScene, method: str, seed: int) -> None:
        self.place = place
        self.method = method
        self.random = random.Random(f"{method} {seed}")
        self.trials: Counter = Counter()
        self.refused: Counter = Counter()
        self.missed: list[str] = []
        self.tenant = place.tenants[0]
        self.path = self.take(place.backups(method))

    def take(self, run) -> Path:
        result = run.back_up_all(self.place.tenants, 0, 1)[self.tenant]
        if not result["proven"]:
            raise SystemExit(f"an unharmed {self.method} backup is not proven: {result['why']}")
        return Path(result["path"])

    def proven(self, max_age: float = 0, **clock) -> bool:
        return self.place.backups(self.method, **clock).verify_all([self.tenant], max_age, 1)[self.tenant]["proven"]

    def judge(self, kind: str, what: str, max_age: float = 0, **clock) -> None:
        """Count one injury that was done."""
        self.trials[kind] += 1
        if self.proven(max_age, **clock):
            self.missed.append(f"{self.method}, {kind}: {what}")
        else:
            self.refused[kind] += 1

    def in_file(self, kind: str, path: Path, change: Callable[[bytes], bytes | None]) -> None:
        """Change a file's content (None: it is gone), judge, and put it back."""
        whole = path.read_bytes()
        changed = change(whole)
        assert changed != whole
        if changed is None:
            path.unlink()
        else:
            path.write_bytes(changed)
        self.judge(kind, f"{path.name}")
        path.write_bytes(whole)

    def flip(self, kind: str, path: Path, start: int = 0, end: int | None = None) -> None:
        """Flip one bit between two places of a file."""
        def flipped(whole: bytes) -> bytes:
            place = self.random.randrange(start, min(len(whole), end or len(whole)))
            return whole[:place] + bytes([whole[place] ^ 1 << self.random.randrange(8)]) + whole[place + 1:]

        self.in_file(kind, path, flipped)

    def cut(self, kind: str, path: Path) -> None:
        self.in_file(kind, path, lambda whole: whole[:self.random.randrange(len(whole))])

    def beside(self, end: str) -> Path:
        return Path(f"{self.path}{end}")

    def under_its_name(self, kind: str, other: Path, end_of_truth: str) -> None:
        """Another backup takes this one's place. `end_of_truth` is what stays of this one; all is signed again, so that nothing but the content tells."""
        aside = self.place.folder / "aside"
        aside.mkdir()
        for end in ENDS:
            shutil.move(self.beside(end), aside / f"backup{end}")
        copy = shutil.copytree if other.is_dir() else shutil.copy
        copy(other, self.path)
        record = json.loads((aside / "backup.json" if end_of_truth else Path(f"{other}.json")).read_text(encoding="utf-8"))
        self.beside(".json").write_text(json.dumps({**record, "file": self.path.name}), encoding="utf-8")
        run = self.place.backups(self.method)
        signed = digests([*run.method.sealed(str(self.path)), str(self.beside(".json"))])
        lines = [f"{digest}  {os.path.relpath(path, run.store.directory)}\n" for path, digest in signed]
        self.beside(".sha256").write_text("".join(lines), encoding="utf-8")
        self.judge(kind, other.name)
        shutil.rmtree(self.path) if self.path.is_dir() else self.path.unlink()
        for end in ENDS:
            shutil.move(aside / f"backup{end}", self.beside(end))
        aside.rmdir()

    def stale(self, kind: str) -> None:
        age = self.random.randrange(2, 10**7)
        taken = json.loads(self.beside(".json").read_text(encoding="utf-8"))["taken"]
        self.judge(kind, f"{age} s", max_age=age - 1, clock=lambda: taken + age)


def of_dumps(injuries: Injuries, times: int) -> None:
    """The injuries of dumps."""
    other = next(path for path in injuries.path.parent.glob(f"*tenant_b*{injuries.path.suffix}"))
    for time_ in range(times):
        injuries.flip("header byte", injuries.path, 0, DUMP_HEAD_BYTES)
        injuries.flip("body byte", injuries.path, DUMP_HEAD_BYTES)
        injuries.flip("manifest byte", injuries.beside(".json"))
        injuries.flip("checksum byte", injuries.beside(".sha256"))
        injuries.cut("truncated", injuries.path)
        injuries.in_file("file missing", injuries.beside(ENDS[time_ % 3]), lambda _whole: None)
        injuries.stale("beyond max_age")
    for _time in range(max(1, times // 6)):
        injuries.under_its_name("another database", other, "")
        injuries.under_its_name("table emptied", emptied(injuries), ".json")


def of_losses(injuries: Injuries) -> None:
    """What a dump program loses: the backup must not be proven, whatever its checksums say."""
    for kind, program, changed in in_the_dump(injuries.place, injuries.method):
        run = injuries.place.backups(injuries.method)
        run.method.programs = program
        result = run.back_up_all([injuries.tenant], 0, 1)[injuries.tenant]
        injuries.trials[kind] += 1
        if result["proven"] or changed not in result["why"]:
            injuries.missed.append(f"{injuries.method}, {kind}: {result['why']}")
        else:
            injuries.refused[kind] += 1


def of_acts(injuries: Injuries) -> None:
    """What the copy would do to others: here the slot of the original's subscription."""
    injuries.trials["subscription runs"] += 1
    problem = subscription_of_the_copy(injuries.place, injuries.take, injuries.proven)
    if problem:
        injuries.missed.append(f"{injuries.method}, subscription runs: {problem}")
    else:
        injuries.refused["subscription runs"] += 1


def of_copies(injuries: Injuries, times: int) -> None:
    """The injuries of copies of a whole server."""
    base = injuries.path
    relation = {name: base / injuries.place.value(f"SELECT pg_relation_filepath('{name}')", injuries.tenant) for name in ("orders", "orders_by_quantity")}
    for _time in range(times):
        injuries.flip("heap byte", relation["orders"])
        injuries.flip("index byte", relation["orders_by_quantity"])
        injuries.flip("log byte", injuries.random.choice(sorted(path for path in (base / "pg_wal").iterdir() if path.is_file())))
        injuries.flip("its manifest, a byte", base / "backup_manifest")
        injuries.flip("record byte", injuries.beside(".json"))
        injuries.cut("truncated", injuries.random.choice(files(base)))
        injuries.in_file("file missing", injuries.random.choice(files(base)), lambda _whole: None)
        injuries.in_file("page emptied", relation["orders"], lambda whole: whole[:-PAGE] + bytes(PAGE))
        injuries.stale("beyond max_age")
    for _time in range(max(1, times // 6)):
        injuries.under_its_name("table emptied", emptied(injuries), ".json")


def files(base: Path) -> list[Path]:
    """The files of a copy that have content."""
    return sorted(path for path in base.rglob("*") if path.is_file() and path.stat().st_size)


def emptied(injuries: Injuries) -> Path:
    """A backup taken while the table is empty; by its name it is older than the one that is injured."""
    place, taken = injuries.place, json.loads(injuries.beside(".json").read_text(encoding="utf-8"))["taken"]
    rows = place.count_orders(injuries.tenant)
    place.empty_orders(injuries.tenant)
    try:
        return injuries.take(place.backups(injuries.method, clock=lambda: taken - 3600 - injuries.random.random() * 1000))
    finally:
        place.add_orders(injuries.tenant, rows)


def unharmed(injuries: Injuries, times: int) -> tuple[int, int]:
    """How often the backup as it is was proven, and one taken under load."""
    again = sum(injuries.proven() for _time in range(times))
    fresh = 0
    with load(injuries.place) as changes:
        for _time in range(times):
            results = injuries.place.backups(injuries.method).back_up_all(injuries.place.tenants, 2, 1)
            fresh += all(result["proven"] for result in results.values())
            injuries.missed += [f"unharmed, under load: {result['why']}" for result in results.values() if not result["proven"]]
    print(f"  {sum(changes)} changes were written meanwhile")
    return again, fresh


def judge(injuries: Injuries, injure: Callable[[Injuries, int], None], options: argparse.Namespace) -> tuple[Injuries, bool]:
    """Do all of a method's injuries and print what became of them; whether all is as it should be."""
    injure(injuries, options.times)
    if injuries.method == "physical":
        of_acts(injuries)
    elif injuries.method != "sqlite":
        of_losses(injuries)
    print(f"{injuries.method}: injured, refused of")
    for kind, count in injuries.trials.items():
        print(f"  {kind:24} {injuries.refused[kind]:4} {count:4}")
    again, fresh = unharmed(injuries, options.unharmed)
    print(f"{injuries.method}: unharmed, proven of\n  {'as it is':24} {again:4} {options.unharmed:4}\n  {'taken under load':24} {fresh:4} {options.unharmed:4}")
    for sentence in injuries.missed:
        print(f"  WRONG: {sentence}")
    return injuries, not injuries.missed and again == fresh == options.unharmed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=18)
    parser.add_argument("--unharmed", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=5000)
    options = parser.parse_args()
    use_driver()
    began, judged = time.monotonic(), []
    with scene(options.rows, wal_level="logical") as place:
        judged += [judge(Injuries(place, "logical", options.seed), of_dumps, options), judge(Injuries(place, "physical", options.seed), of_copies, options)]
    for kind, kind_scene in (("mariadb", mariadb_scene), ("sqlite", sqlite_scene)):
        with kind_scene(options.rows) as place:
            judged.append(judge(Injuries(place, kind, options.seed), of_dumps, options))
    trials, refused = (sum(injuries.trials.total() for injuries, _ok in judged), sum(injuries.refused.total() for injuries, _ok in judged))
    print(f"{refused} of {trials} injured backups refused, seed {options.seed}, {time.monotonic() - began:.0f} s")
    return 0 if all(ok for _injuries, ok in judged) and refused == trials else 1


if __name__ == "__main__":
    sys.exit(main())
