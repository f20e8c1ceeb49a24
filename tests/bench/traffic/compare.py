# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same fleet upgraded under the same load by this collection and by what people do without it: one run, one table.

    build/venv/bin/python tests/bench/traffic/compare.py
    build/venv/bin/python tests/bench/traffic/compare.py --regimes half_pool,naive --applications abrupt --seconds-per-regime 0 --rate 80

Every regime starts from a new fleet (tests/fleet: 6 members on 1.0.0, 2 load balancers, PostgreSQL) and takes it to 2.0.0. What the regimes are stands in
regimes.py. To be fair:

- One prober, started by this bench 3 s before the play and stopped 3 s after it at the earliest, measures all of them; the playbook's own is switched off
  (`upgrade_probe: {}`). It goes on until --seconds-per-regime, so that a short play is asked about as many requests as a long one. Nothing is tried again.
- The others' plays stage the release on every server before the first one is touched, as ours does, and get their expand migration from this bench at their
  beginning. They take no backups and prove none, ours do: that is in `play s` and not in `roll s`.
- All plays run with the same Ansible, the same number of forks and the same `nice`.
- The load is the demo's (keep-alive, new connections, sticky, slow, writing), and 2 % of the answers stream for 2 s.
- Every regime is measured twice: with an application that ends in good order (`graceful`: it closes its port, and what is in flight has 8 s), and with one
  that is killed by its service's stop command (`abrupt`). With the first, HAProxy's `redispatch` and retries hide most of what a play does not care for.

The columns:

requests, failed  scheduled by the prober, and those without the expected whole answer within 5 s; the classes are those of availability_probe
new>old           clients that had been answered by the new release and were then answered by the old one
p99, p100 ms      from the intended time, of answers as expected and of timeouts: of the kind of requests where it is the longest, less those that are
                  slow by design
roll s            from the first member's leaving to the last one's return; with blue-green from the first stop to the cutover of both load balancers
floor s           max(sum(o) / k, max(o)): what a window of k could reach with these members' times out of service o. Waiting while out (for a batch, for a
                  flip) is in o, as nobody outside can tell it from work: where members wait, the floor is too high and the regime looks better than it is
work s            the floor once more, of nothing but the work on the members (drain, release, smoke test, return) as our own report has it: without the waits,
                  and without what Ansible needs from one task to the next. The others keep no such record
play s            the whole command
live              the least members that a load balancer had in traffic, every 100 ms by its runtime API. A load balancer learns late: a dead server is
                  in traffic for it until the checks fail. `and up` counts those of them alone whose application ran at that moment, by its supervisor

With * a regime's times out of service are those of the playbook's own report, as nginx has no runtime API.
A row that could not be measured says why. Everything is kept in build/bench/traffic/compare.json too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from community_general import Unavailable
from fleet.balancers import BalancerError
from fleet.demo import interruptible
from fleet.embedded import FleetError
from measure import APPLICATIONS, measured
from regimes import REGIMES
from table import rendered

OUTPUT = REPOSITORY / "build" / "bench" / "traffic"


def main() -> int:
    options = _options()
    rows: list[dict] = []
    with interruptible():
        for application, name in itertools.product(options.applications, options.regimes):
            print(f"{time.strftime('%H:%M:%S')} {name}, {application}", file=sys.stderr, flush=True)
            rows.append(_row(name, application, options))
            _keep(rows, options)
    print(rendered(rows))
    return 1 if any(row.get("problem") or row["failed"] for row in rows if REGIMES[row["regime"]].is_ours) else 0


def _row(name: str, application: str, options: argparse.Namespace) -> dict:
    """One regime's figures, or why there are none."""
    try:
        return measured(REGIMES[name], application, OUTPUT / f"{name}-{application}", rate=options.rate, seconds=options.seconds_per_regime)
    except (Unavailable, BalancerError, FleetError) as error:
        return {"regime": name, "application": application, "problem": f"not run: {error}"}


def _keep(rows: list[dict], options: argparse.Namespace) -> None:
    content = {"rate": options.rate, "seconds_per_regime": options.seconds_per_regime, "regimes": rows}
    (OUTPUT / "compare.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regimes", type=_some_of(REGIMES), default=list(REGIMES), help=f"of {', '.join(REGIMES)}, with commas in between; by default all")
    parser.add_argument("--applications", type=_some_of(APPLICATIONS), default=list(APPLICATIONS), help="graceful, abrupt or, by default, both")
    parser.add_argument("--rate", type=float, default=80, help="requests a second in total")
    parser.add_argument("--seconds-per-regime", type=float, default=60, help="go on with the load for so long when the play is over earlier")
    options = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    return options


def _some_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """What reads a list of these names."""
    def names_in(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}: choose of {', '.join(known)}")
        return names

    return names_in


if __name__ == "__main__":
    sys.exit(main())
