# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The colours and lines of the pictures, for light and dark themes, distinguishable with colour blindness, too (after Okabe and Ito)."""

from __future__ import annotations

COLOURS = """
:root {
  color-scheme: light dark;
  --page: #fdfdfc; --ink: #1b2126; --muted: #5a646d; --hairline: #dde1e4; --band: #f3f4f4; --panel: #f6f7f7;
  --new: #0a6aa8; --new-soft: #d5e6f1; --old: #b0a797; --old-soft: #e9e5dd; --third: #cc79a7; --fourth: #5f9f83;
  --good: #0b7a55; --warning: #8f5b00; --bad: #c4320a; --bad-soft: #fbe3da;
  --draining: #e0a33a; --upgrading: #7c5fb0; --testing: #2a9c7c; --returning: #63b1dd; --waiting: #c9ced2; --elsewhere: #8b949b;
}
"""

DARK = """
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #14181b; --ink: #e7eaec; --muted: #9ba6ae; --hairline: #2d343a; --band: #1a1f23; --panel: #1b2024;
    --new: #52a8dc; --new-soft: #1d3c50; --old: #857d6f; --old-soft: #34312b; --third: #d893bb; --fourth: #7fbf9f;
    --good: #4fc497; --warning: #e3ac4d; --bad: #ff7c57; --bad-soft: #4a241a;
    --draining: #e5b04f; --upgrading: #a58bd6; --testing: #45b795; --returning: #80c5ec; --waiting: #48515a; --elsewhere: #7b858d;
  }
}
"""

LINES = """
.picture { display: block; width: 100%; height: auto; font: 11.5px system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums; }
.picture text { fill: var(--muted); }
.picture .strong { fill: var(--ink); }
.picture .small { font-size: 10px; }
.picture .bad { fill: var(--bad); font-weight: 600; }
.picture .good { fill: var(--good); }
.picture .band { fill: var(--band); }
.picture .grid { stroke: var(--hairline); stroke-width: 1; }
.picture .axis { stroke: var(--muted); stroke-width: 1; opacity: .55; }
.picture .hover { fill: transparent; }
.picture .hover:hover { fill: var(--ink); fill-opacity: .09; }
.picture .p50 { stroke: var(--new); stroke-width: 2; fill: none; stroke-linejoin: round; stroke-linecap: round; }
.picture .p99 { stroke: var(--new); stroke-width: 1.1; fill: none; stroke-linejoin: round; stroke-linecap: round; }
.picture .spread { fill: var(--new-soft); opacity: .75; }
.picture .p100 { fill: var(--upgrading); }
.picture .label-p50, .picture .label-p99 { fill: var(--new); }
.picture .label-p50 { font-weight: 600; }
.picture .label-p100 { fill: var(--upgrading); }
.picture .failed { fill: var(--bad); }
.picture .failed-line { stroke: var(--bad); stroke-width: 1; opacity: .35; }
.picture .hatch { stroke: var(--muted); stroke-width: 1.2; opacity: .6; }
.picture .hatch-bad { stroke: var(--bad); stroke-width: 2; }
.picture .release-old { fill: var(--old); }
.picture .release-new { fill: var(--new); }
.picture .release-third { fill: var(--third); }
.picture .release-fourth { fill: var(--fourth); }
.picture .release-other { fill: var(--elsewhere); }
.picture .unanswered { fill: var(--bad); }
.picture .inside { fill: var(--page); font-weight: 600; font-size: 12.5px; }
.picture .capacity { stroke: var(--new); stroke-width: 2; fill: none; stroke-linejoin: round; }
.picture .capacity-area { fill: var(--new-soft); opacity: .75; }
.picture .floor { stroke: var(--bad); stroke-width: 1.3; stroke-dasharray: 5 4; }
.picture .label-floor { fill: var(--bad); }
.picture .under-floor { fill: var(--bad); opacity: .8; }
.picture .lowest { fill: var(--page); stroke: var(--new); stroke-width: 2; }
.picture .draining { fill: var(--draining); }
.picture .upgrading { fill: var(--upgrading); }
.picture .testing { fill: var(--testing); }
.picture .returning { fill: var(--returning); }
.picture .waiting { fill: var(--waiting); }
.picture .elsewhere { fill: var(--elsewhere); }
.picture .moved { stroke: var(--ink); stroke-width: 1.4; stroke-dasharray: 2 2; }
.picture .label-moved { fill: var(--ink); font-weight: 600; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; paint-order: stroke; }
.picture .idle { fill: none; stroke: var(--muted); stroke-width: 1; stroke-dasharray: 1 3; opacity: .8; }
.picture .dump { fill: var(--old); }
.picture .restore { fill: var(--new); }
"""

STYLE = COLOURS + DARK + LINES
