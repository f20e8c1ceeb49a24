# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dump rounds, drops or rewrites, done by programs that do so, and what a restored copy would do by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kind_scenes import KindScene
from scene import Scene

from ansible_collections.alwayson.upgrade.plugins.module_utils._host.waiting import wait_for

# What is lost: an option that has pg_dump lose it, and what the refusal says.
OF_POSTGRESQL = {
    "numbers rounded": ("--extra-float-digits=-10", "public.measured has as many rows (1), but their content differs"),
    "large objects lost": ("--no-blobs", "is missing: 1 large objects"),
    "comments lost": ("--no-comments", "is missing: comment on table public.measured"),
    "rows lost": ("--exclude-table-data=orders", "public.orders has 0 rows"),
    "table lost": ("--exclude-table=measured", "is missing: table public.measured"),
    "sequence lost": ("--exclude-table-data=orders_id_seq", "the sequence public.orders_id_seq stands at"),
}
MEASURED = ("CREATE TABLE measured (f real, d double precision); INSERT INTO measured VALUES (0.010516252, 0.30000000000000004);"
            " COMMENT ON TABLE measured IS 'numbers'; SELECT lo_from_bytea(0, 'x')")
PRICE = ("CREATE TABLE price (id int PRIMARY KEY, f float, cents int) WITH SYSTEM VERSIONING", "INSERT INTO price VALUES (1, 0.5, 1)",
         "UPDATE price SET cents = 2", "CREATE TRIGGER counted BEFORE INSERT ON price FOR EACH ROW SET @n = 1")
ROUNDED = "UPDATE price SET f = 0.010516252390057362"
OF_MARIADB = {
    "history lost": ("--dump-history", "", "price has 1 rows instead of 2"),
    "triggers lost": ("--triggers", "--skip-triggers", "is missing: trigger counted"),
}
READY_SECONDS = 30


def in_the_dump(place: Scene | KindScene, method: str) -> Iterator[tuple[str, Any, str]]:
    """Each loss: its name, the programs of the method that do it, and what the refusal has to say."""
    if method == "logical":
        yield from _of_postgresql(place)
    else:
        yield from _of_mariadb(place)


def _of_postgresql(place: Scene) -> Iterator[tuple[str, Any, str]]:
    place.run(MEASURED, place.tenants[0])
    programs = place.backups("logical").method.programs
    for kind, (option, said) in OF_POSTGRESQL.items():
        program = _wrapper(place.folder / "pg_dump", f'exec "{programs.pg_dump}" "$@" {option}')
        yield kind, dataclasses.replace(programs, pg_dump=program), said
    place.run("DROP TABLE measured; SELECT lo_unlink(oid) FROM pg_largeobject_metadata", place.tenants[0])


def _of_mariadb(place: KindScene) -> Iterator[tuple[str, Any, str]]:
    tenant = place.tenants[0]
    place.kind.run(tenant, *PRICE)
    programs = place.backups("mariadb").method.programs
    for kind, (option, instead, said) in OF_MARIADB.items():
        body = f'for a; do shift; case "$a" in {option}) a="{instead}";; esac; [ -z "$a" ] || set -- "$@" "$a"; done; exec "{programs["mariadb-dump"]}" "$@"'
        yield kind, {**programs, "mariadb-dump": _wrapper(place.folder / "mariadb-dump", body)}, said
    place.kind.run(tenant, ROUNDED)
    yield "numbers rounded", programs, "ALTER TABLE ... MODIFY ... DOUBLE keeps every number"
    place.kind.run(tenant, "DROP TABLE price")


def _wrapper(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def subscription_of_the_copy(place: Scene, take: Callable[[Any], Path], proven: Callable[[], bool]) -> str:
    """Prove a copy of a server whose subscription is paused; what the proof took of it, empty when nothing."""
    subscriber, publisher = place.tenants
    place.run("CREATE TABLE sent (n int); CREATE PUBLICATION sending FOR TABLE sent", publisher)
    place.run("SELECT pg_create_logical_replication_slot('sending', 'pgoutput')", publisher)
    place.run("CREATE TABLE sent (n int)", subscriber)
    place.run(f"CREATE SUBSCRIPTION receiving CONNECTION 'host={place.login.host} port={place.login.port} user=postgres dbname={publisher}' "
              "PUBLICATION sending WITH (create_slot = false, slot_name = 'sending', copy_data = false)", subscriber)
    place.run("INSERT INTO sent VALUES (0)", publisher)
    if not wait_for(lambda: place.value("SELECT count(*) FROM sent", subscriber) == 1, READY_SECONDS, 0.1):
        return "the original's subscription does not run"
    take(place.backups("physical"))
    place.run("ALTER SUBSCRIPTION receiving DISABLE", subscriber)
    wait_for(lambda: not place.value("SELECT active FROM pg_replication_slots WHERE slot_name = 'sending'"), READY_SECONDS, 0.1)
    place.run("INSERT INTO sent SELECT generate_series(1, 99)", publisher)
    found = "" if proven() else "the backup is refused"
    place.run("ALTER SUBSCRIPTION receiving ENABLE", subscriber)
    if not wait_for(lambda: place.value("SELECT count(*) FROM sent", subscriber) == 100, READY_SECONDS, 0.1):
        found = f"the original got {place.value('SELECT count(*) FROM sent', subscriber)} of 100 rows"
    place.run("DROP SUBSCRIPTION receiving", subscriber)
    place.run("DROP TABLE sent", subscriber)
    place.run("DROP PUBLICATION sending; DROP TABLE sent", publisher)
    return found
