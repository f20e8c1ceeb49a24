# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate many fleets. In tests/:

    ../build/venv/bin/python -m simulation --fleets 10000 --seed 1

One of them again, with everything that happened: ``--only 4711``.
"""

from __future__ import annotations

import argparse
import time

from .rules import Violation
from .tally import Tally
from .tell import history, report
from .world import play

# Fewer fleets than this need not meet everything.
ENOUGH = 1500


def main(arguments: list[str] | None = None) -> int:
    """0 when every promise was kept and everything was met."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description="Simulate whole fleets and check every promise of the scheduler.")
    parser.add_argument("--fleets", type=int, default=10000, help="how many (default %(default)s)")
    parser.add_argument("--seed", default="1", help="a word or a number (default %(default)s)")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="play this fleet alone and tell everything")
    options = parser.parse_args(arguments)
    tally, began, alone = Tally(), time.process_time(), options.only is not None
    for number in [options.only] if alone else range(options.fleets):
        try:
            world = play(f"{options.seed}:{number}", tally)
        except Violation as violation:
            print(report(violation, options.seed, number, lines=None if alone else 40))
            return 1
        if alone:
            print("\n".join(history(world)))
    seconds = time.process_time() - began
    print(tally.table())
    print(f"{tally['fleets']:,} fleets in {seconds:.1f} s of one processor, seed {options.seed}: every promise was kept")
    missing = tally.missing() if tally["fleets"] >= ENOUGH else []
    for kind in missing:
        print(f"never happened: {kind}")
    return 1 if missing else 0
