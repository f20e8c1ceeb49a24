# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the page looks: calm, the answer first, readable on a telephone, in the dark and on paper."""

from __future__ import annotations

from .pictures.all import STYLE as PICTURE_STYLE

PAGE = """
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  -webkit-text-size-adjust: 100%; overflow-wrap: break-word; }
li, .command, .subline, .run, .long { overflow-wrap: anywhere; }
main { max-width: 924px; margin: 0 auto; padding: 56px 24px 64px; }
.run { margin: 0 0 18px; color: var(--muted); font-size: 15px; }
.run b { color: var(--ink); font-weight: 600; }
h1 { display: flex; gap: 16px; margin: 0; font-size: 36px; line-height: 1.15; font-weight: 650; letter-spacing: -.018em; text-wrap: balance;
  overflow-wrap: break-word; }
.clause { display: inline-block; }
.mark { flex: none; width: 40px; height: 40px; border-radius: 50%; color: var(--page); font-size: 23px; line-height: 40px; text-align: center;
  letter-spacing: 0; }
.good .mark { background: var(--good); } .warning .mark { background: var(--warning); } .bad .mark { background: var(--bad); }
.subline { margin: 14px 0 0; max-width: 44em; color: var(--muted); font-size: 17px; }
h2 { margin: 0 0 4px; font-size: 19px; line-height: 1.3; font-weight: 620; letter-spacing: -.008em; }
section, figure { margin: 52px 0 0; }
section figure { margin: 18px 0 12px; }
.finding { text-wrap: pretty; margin: 0 0 14px; max-width: 48em; color: var(--muted); font-size: 14.5px; }
.figures { display: grid; grid-template-columns: repeat(3, 1fr); gap: 26px 32px; margin: 40px 0 0; padding: 26px 0;
  border: solid var(--hairline); border-width: 1px 0; }
.figures dt { color: var(--muted); font-size: 14px; }
.figures dd { margin: 0; }
.figures .value { font-size: 27px; line-height: 1.25; font-weight: 600; letter-spacing: -.012em; font-variant-numeric: tabular-nums; }
.figures .value small { color: var(--muted); font-size: 17px; font-weight: 400; letter-spacing: 0; }
.figures .note { color: var(--muted); font-size: 13.5px; line-height: 1.4; }
.figures .bad .value, td.bad, .bad-word { color: var(--bad); }
.notice { margin: 32px 0 0; padding: 16px 20px; border-left: 4px solid var(--warning); background: var(--panel); border-radius: 0 4px 4px 0; }
.notice.problem { border-color: var(--bad); }
.notice h2 { font-size: 16px; }
.notice li { white-space: pre-line; }
.notice ul { margin: 6px 0 0; padding-left: 1.2em; }
.notice p { margin: 12px 0 0; }
code { font: .88em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.command { display: block; margin-top: 4px; padding: 8px 12px; background: var(--page); border: 1px solid var(--hairline); border-radius: 4px; }
table { width: 100%; border-collapse: collapse; font-size: 14px; line-height: 1.4; font-variant-numeric: tabular-nums; }
th, td { padding: 8px 14px 8px 0; border-bottom: 1px solid var(--hairline); text-align: left; vertical-align: top; }
th { color: var(--muted); font-weight: 400; font-size: 13px; vertical-align: bottom; }
tbody th { color: var(--ink); font-weight: 600; font-size: inherit; vertical-align: top; }
.number { text-align: right; white-space: nowrap; }
td small { display: block; color: var(--muted); font-size: 12.5px; }
td.proof { white-space: nowrap; } td.proof .long { white-space: normal; }
td.good { color: var(--good); } td.good small { color: var(--muted); }
.bar { display: block; height: 8px; margin-top: 6px; border-radius: 2px; background: var(--new); min-width: 1px; }
.bar-cell { width: 55%; }
.narrow-only { display: none; }
footer { margin: 60px 0 0; padding: 18px 0 0; border-top: 1px solid var(--hairline); color: var(--muted); font-size: 13.5px; }
footer p { margin: 0 0 6px; max-width: 56em; }
"""

TELEPHONE = """
@media screen and (max-width: 700px) {
  main { padding: 28px 16px 40px; }
  h1 { font-size: 27px; gap: 12px; }
  .mark { width: 32px; height: 32px; font-size: 18px; line-height: 32px; }
  .subline { font-size: 16px; }
  .figures { grid-template-columns: 1fr 1fr; gap: 20px 18px; padding: 22px 0; margin-top: 28px; }
  .figures .value { font-size: 23px; }
  section, figure { margin-top: 42px; }
  section figure { margin-top: 18px; }
  .wide-only { display: none; }
  .narrow-only { display: block; max-width: 560px; }
  table, tbody, tr, th, td { display: block; width: auto; }
  thead, .bar-cell { display: none; }
  tr { padding: 10px 0; border-bottom: 1px solid var(--hairline); }
  th, td { padding: 2px 0; border: 0; }
  td:not(.bar-cell) { display: grid; grid-template-columns: 9.5em 1fr; gap: 10px; text-align: left; }
  td::before { content: attr(data-label); color: var(--muted); }
  .number { text-align: left; white-space: normal; }
  td.proof { white-space: normal; }
}
"""

PAPER = """
@media print {
  @page { margin: 16mm 14mm; }
  body { background: #fff; font-size: 11pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  h1 { font-size: 22pt; }
  section, figure { margin-top: 26pt; }
  figure, tr, .figures, .notice { break-inside: avoid; }
  table { font-size: 8.5pt; } thead th, td small { font-size: 7.5pt; } th, td { padding: 4pt 8pt 4pt 0; }
  h2 { break-after: avoid; }
}
"""

STYLE = PICTURE_STYLE + PAGE + TELEPHONE + PAPER
