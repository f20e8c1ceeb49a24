# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rollout screen as text at several moments of a roll that never happened, to look at it and to show it in the documentation.

    build/venv/bin/python tests/bench/screen.py --width 80 --height 24 --members 6
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "build" / "collections"), str(REPOSITORY / "tests" / "unit")]

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._live.screen import render
from sample_roll import Roll


def main() -> None:
    """Print the screen at each moment that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=80)
    parser.add_argument("--height", type=int, default=24)
    parser.add_argument("--members", type=int, default=6)
    parser.add_argument("--window", type=int, help="members at once (default: a fifth, at least one)")
    parser.add_argument("--zones", type=int, default=2)
    parser.add_argument("--bad", nargs="*", default=[], help="members whose smoke test fails")
    parser.add_argument("--lost", nargs="*", default=[], help="members that are lost")
    parser.add_argument("--expected", type=float, default=0.0, help="seconds that a member took last time")
    parser.add_argument("--at", type=float, nargs="*", help="seconds from the beginning (default: in the preparation, early and late in the roll, at the end)")
    parser.add_argument("--colour", action="store_true")
    arguments = parser.parse_args()
    roll = Roll(arguments.members, arguments.window or max(1, arguments.members // 5), zones=arguments.zones, bad=tuple(arguments.bad),
                lost=tuple(arguments.lost), expected_s=arguments.expected)
    for moment in arguments.at or (8, 17, 14 + (roll.seconds - 14) * 0.6, roll.seconds):
        view = roll.until(moment)
        lines = render(view, arguments.width, arguments.height, colour=arguments.colour, control=f"{view.directory}/control")
        sys.stdout.write(f"--- {moment:.1f} s, {len(lines)} lines\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
