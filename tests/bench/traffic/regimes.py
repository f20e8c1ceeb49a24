# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The regimes: how each is run, on which fleet, and how many members it has out at the same time.

half_pool, rolling, canary, blue_green   the playbook alwayson.upgrade.upgrade with this method
nginx            the same playbook, rolling, with the fleet behind nginx
naive            naive.yml: new release and restart, two servers at a time; nobody asks the load balancers
community        community.yml: the published pattern (ansible-examples, lamp_haproxy/rolling_update.yml) with community.general.haproxy, two at a time
community_drain  the same, with what the module has for draining: `drain: true` and `wait: true`
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import community_general
import yaml
from fleet.demo import COLLECTIONS, METHODS, REPOSITORY, begin_playbook, playbook_environment
from fleet.embedded import HAPROXY, EmbeddedFleet
from fleet.layout import BACKEND, BLUE_GREEN, TENANTS
from sockets import runtime_sockets

HERE = Path(__file__).resolve().parent
OLD, NEW = "1.0.0", "2.0.0"
EXPAND = REPOSITORY / "tests/fleet/shop/migrations" / NEW / "expand"
# No play takes longer than this; one that hangs is ended.
PLAY_SECONDS = 600
GRACE_SECONDS = 30
# What the plays that are not ours have as `serial`.
SERIAL = 2


@dataclass(frozen=True)
class Regime:
    """A way to upgrade the fleet.

    :param method: of our playbook; empty for the others.
    :param playbook: of the others; a file beside this one.
    :param variables: more extra variables.
    """

    name: str
    method: str = ""
    playbook: str = ""
    variables: dict = field(default_factory=dict)
    kind: str = HAPROXY
    needs_community: bool = False

    @property
    def is_ours(self) -> bool:
        return bool(self.method)

    @property
    def pools(self) -> tuple[str, ...]:
        return BLUE_GREEN if METHODS.get(self.method) else (BACKEND,)

    @property
    def has_runtime_api(self) -> bool:
        """Whether the load balancers tell who is in traffic."""
        return self.kind == HAPROXY


REGIMES = {regime.name: regime for regime in (
    Regime("half_pool", method="half_pool"),
    Regime("rolling", method="rolling"),
    Regime("canary", method="canary"),
    Regime("blue_green", method="blue_green"),
    # nginx's file is on the load balancer, which drives itself then.
    Regime("nginx", method="rolling", kind="nginx", variables={"upgrade_traffic_via": None}),
    Regime("naive", playbook="naive.yml"),
    Regime("community", playbook="community.yml", needs_community=True),
    Regime("community_drain", playbook="community.yml", needs_community=True, variables={"shop_drain": True}),
)}


def carry_out(regime: Regime, fleet: EmbeddedFleet, log: Path) -> tuple[int, float]:
    """Upgrade the fleet; returns the play's exit status and the seconds of the whole command."""
    with _prepared(regime, fleet) as variables, log.open("w", encoding="utf-8") as output:
        began = time.monotonic()
        if regime.is_ours:
            process = begin_playbook("upgrade", fleet.directory, variables, output=output)
        else:
            migrate(fleet)
            process = _begin_theirs(regime, fleet, variables, output)
        return _wait(process), time.monotonic() - began


@contextmanager
def _prepared(regime: Regime, fleet: EmbeddedFleet) -> Iterator[dict]:
    """What must be there before the play begins; the extra variables of the play."""
    if regime.is_ours:
        description = METHODS[regime.method]
        of_method = yaml.safe_load(description.read_text(encoding="utf-8")) if description else {}
        yield {**of_method, **regime.variables, "upgrade_method": regime.method, "upgrade_release": NEW, "upgrade_probe": {}}
        return
    variables = {"shop_release": NEW, "shop_archive": str(fleet.artifact(NEW)), "shop_drain": False, **regime.variables}
    if not regime.needs_community:
        yield variables
        return
    with runtime_sockets(fleet.layout.load_balancers) as paths:
        yield {**variables, "haproxy_sockets": paths}


def migrate(fleet: EmbeddedFleet) -> None:
    """The new release's expand migration, as the databases' owner."""
    for database in TENANTS.values():
        for script in sorted(EXPAND.glob("*.sql")):
            fleet.query(database, script.read_text(encoding="utf-8"))


def _begin_theirs(regime: Regime, fleet: EmbeddedFleet, variables: dict, output) -> subprocess.Popen:
    """Start a play that is not ours, as fleet.demo starts ours: in a process group of its own, behind the fleet and the prober."""
    collections = [str(community_general.FOLDER)] if regime.needs_community else []
    command = ["nice", "-n", "5", str(Path(sys.executable).with_name("ansible-playbook")), str(HERE / regime.playbook),
               "--inventory", str(fleet.inventory), "--extra-vars", json.dumps(variables)]
    environment = {**playbook_environment(fleet.directory), "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join([*collections, str(COLLECTIONS)])}
    return subprocess.Popen(command, cwd=fleet.directory, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                            start_new_session=True)


def _wait(process: subprocess.Popen) -> int:
    """The exit status; a play that takes too long is ended, and so is one that is waited for when the bench is interrupted."""
    try:
        return process.wait(timeout=PLAY_SECONDS)
    except subprocess.TimeoutExpired:
        return _ended(process)
    except KeyboardInterrupt:
        _ended(process)
        raise


def _ended(process: subprocess.Popen) -> int:
    """Interrupt the play as a user at a terminal would, then insist; the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            return process.wait(timeout=GRACE_SECONDS)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    return process.wait(timeout=GRACE_SECONDS)
