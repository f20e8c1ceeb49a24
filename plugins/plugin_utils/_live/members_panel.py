# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The members on the screen: a tree with intended beside actual, or, when they do not fit, strips of cells and lists of those that matter. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._text.figures import natural, plural, seconds
from .._text.terminal import Line, columns, flowed, inert, joined, padded
from .members import DONE, FAILED, FLIGHT, LOST, PROBLEMS, RETURNED, STANDBY, STAYS, TODO, Member
from .view import View
from .words import done_word

MARKS = {DONE: ("✔", "good"), STANDBY: ("◆", "busy"), FLIGHT: ("▶", "busy"), TODO: ("·", "faint"), STAYS: ("=", "faint"),
         RETURNED: ("↩", "warning"), FAILED: ("✘", "bad"), LOST: ("✘", "bad")}
CELLS = {DONE: "█", STANDBY: "▓", FLIGHT: "▒", TODO: "·", STAYS: "=", RETURNED: "<", FAILED: "\N{MULTIPLICATION SIGN}", LOST: "\N{MULTIPLICATION SIGN}"}
COUNTED = (((FLIGHT,), "in flight"), ((RETURNED,), "returned"), ((FAILED, LOST), "failed"))
NARROWEST_COLUMN = 76
WIDEST_ROW = 124  # further to the right the eye loses the line
MOST_NAME, MOST_INTENDED = 28, 20
SHORT_ACTUAL = 20  # columns of what most members show, so that what follows stands in a column
Group = tuple[str, list[Member]]


def members_lines(view: View, width: int, room: int) -> list[Line]:
    """All members as a tree when *room* lines hold it, beside each other when the terminal is wide enough, else those that matter."""
    groups = _groups(view)
    if not groups or room < 1:
        return []
    most_columns = max(1, width // NARROWEST_COLUMN)
    if len(view.members) > room * most_columns:
        return _condensed(view, groups, width, room)
    blocks = [_block(view, group, len(groups)) for group in groups]
    widths = _widths(view)
    for number in range(1, most_columns + 1):
        lines = _beside(view, blocks, number, width, widths)
        if len(lines) <= room:
            return lines
    return _condensed(view, groups, width, room)


def _groups(view: View) -> list[Group]:
    """The members by pool and domain, each with a heading (empty when there is but one)."""
    by_key: dict[tuple[str, str], list[Member]] = {}
    for member in sorted(view.members.values(), key=lambda member: natural(member.name)):
        by_key.setdefault((member.pool, member.domain or ""), []).append(member)
    several_pools = len({pool for pool, _domain in by_key}) > 1
    groups = []
    for (pool, domain), members in sorted(by_key.items(), key=lambda entry: (natural(entry[0][0]), natural(entry[0][1]))):
        heading = " / ".join(part for part in (pool if several_pools else "", domain) if part)
        groups.append((heading, members))
    return groups


# -- the tree

def _block(view: View, group: Group, groups: int) -> list[tuple[str, Member | None]]:
    """Rows of one group: a heading, then its members with their branches."""
    heading, members = group
    if not heading and groups == 1:
        return [("", member) for member in members]
    return [(heading or "no domain", None), *((("└ " if member is members[-1] else "├ "), member) for member in members)]


def _widths(view: View) -> tuple[int, int]:
    members = view.members.values()
    return (min(MOST_NAME, max(len(inert(member.name)) for member in members)) + 4,
            min(MOST_INTENDED, max([len("intended"), *(len(_intended(view, member)) for member in members)])) + 2)


def _beside(view: View, blocks: list[list[Any]], number: int, width: int, widths: tuple[int, int]) -> list[Line]:
    """The blocks in *number* columns of about one height; a block is never broken."""
    gap = 3
    column_width = (width - gap * (number - 1)) // number
    total = sum(map(len, blocks))
    filled: list[list[Any]] = [[]]
    for block in blocks:
        if filled[-1] and len(filled) < number and len(filled[-1]) + len(block) // 2 >= total / number:
            filled.append([])
        filled[-1] += block
    heading = padded([(" " * widths[0], ""), ("intended".ljust(widths[1]), "faint"), ("actual", "faint")], column_width)
    drawn = [[heading, *(_row(view, row, column_width, widths) for row in rows)] for rows in filled if rows]
    lines: list[Line] = []
    for index in range(max(map(len, drawn))):
        line: Line = []
        for position, rows in enumerate(drawn):
            cell = rows[index] if index < len(rows) else []
            line += [*(padded(cell, column_width) if position < len(drawn) - 1 else cell), *([(" " * gap, "")] if position < len(drawn) - 1 else [])]
        lines.append(line)
    return lines


def _row(view: View, row: tuple[str, Member | None], width: int, widths: tuple[int, int]) -> Line:
    branch, member = row
    return [(branch, "bold")] if member is None else member_line(view, member, width, widths, branch)


def member_line(view: View, member: Member, width: int, widths: tuple[int, int], branch: str = "") -> Line:
    """Name, what is intended, what is, and the time it takes."""
    name_width, intended_width = widths
    mark, style = MARKS[member.state]
    actual: Line = [(f"{mark} ", style), *_actual(view, member, style)]
    line: Line = [*padded([(branch, "faint"), (member.name, "")], name_width - 2), ("  ", ""),
                  *padded([(_intended(view, member), "faint" if member.state in (STAYS, DONE) else "")], intended_width)]
    if member.state in PROBLEMS:
        return [*line, *actual]
    took = _took(view, member)
    room = min(width, WIDEST_ROW) - name_width - intended_width - max(8, len(took)) - 2
    return [*line, *padded(_with_stages(member, actual, room), room), ("  ", ""), (f"{took:>8}", "faint")]


def _with_stages(member: Member, actual: Line, room: int) -> Line:
    """What each stage took, when there is room for all of it."""
    stages = " · ".join(f"{label} {seconds(took)}" for label, took in member.stages)
    width = max(columns(actual), SHORT_ACTUAL)
    if stages and member.state in (DONE, STANDBY, FLIGHT) and width + len(stages) + 2 <= room:
        return [*padded(actual, width), ("  ", ""), (stages, "faint")]
    return actual


def _intended(view: View, member: Member) -> str:
    if not member.pending:
        return "stays"
    pool = view.pools.get(member.pool)
    parts = [inert(view.release_to) or ("" if member.step is not None and pool and pool.steps > 1 else "to do")]
    if member.step is not None and pool and pool.steps > 1:
        parts.append(f"step {member.step + 1}")
    if member.wave is not None:
        parts.append(f"wave {member.wave}")
    return " ".join(part for part in parts if part)


def _actual(view: View, member: Member, style: str) -> Line:
    serves = view.has_traffic(member)
    why = (f" after {seconds(member.seconds)}" if member.seconds is not None else "") + (f": {member.why}" if member.why else "")
    if member.state == FLIGHT:
        since = f" {seconds(view.now - member.stage_since)}" if view.now - member.stage_since >= 1 else ""
        return [(f"going back: {member.stage}{since}", "warning")] if member.back else [(f"{member.stage}{since}", style)]
    if member.state == STANDBY:
        return [(f"{done_word(view)}, stands by for the {'cutover' if view.side else 'flip'}", style)]
    if member.state == DONE:
        return [(done_word(view), style)] if serves else [(done_word(view), style), (", not in traffic", "warning")]
    if member.state == RETURNED:
        return [(f"returned{f' to {member.release}' if member.release else ''}{why}", style)]
    if member.state in (FAILED, LOST):
        return [(f"{member.state}{why}", style)]
    release = f", {member.release}" if member.release else ""
    if view.side and member.colour not in view.serving:
        return [(f"{'stands by for the return' if member.colour != view.side else 'no traffic yet'}{release}", "faint")]
    return [(f"in traffic{release}", "faint" if member.state == STAYS else "")] if serves else [(f"out of traffic{release}", "warning")]


def _took(view: View, member: Member) -> str:
    elapsed = member.elapsed(view.now)
    if elapsed is None:
        return ""
    expected = f" of {seconds(round(member.expected_s))}" if member.state == FLIGHT and member.expected_s >= 1 and not member.back else ""
    return seconds(elapsed) + expected


# -- when they do not fit

def _condensed(view: View, groups: list[Group], width: int, room: int) -> list[Line]:
    """Failures first, then a strip for each domain, those in flight, and who is next; each part is counted where it is cut."""
    members = [member for _heading, group in groups for member in group]
    problems = [member for member in members if member.state in PROBLEMS]
    flight = [member for member in members if member.state == FLIGHT]
    widths = _widths(view)
    rows = max(1, room // 3)
    most = rows if len(problems) <= rows else max(rows, room - len(groups) - 4)
    parts = _listed(view, "failed", problems, width, widths, most) if problems else []
    following = _next_line(view, members, width)
    left = room - len(parts) - len(following)
    needed = min(len(flight), max(2, left // 3)) if flight else 0
    strips = _strips(groups, width, max(1, left - needed))
    in_flight = _listed(view, "in flight", flight, width, widths, left - len(strips)) if flight else []
    gap: list[Line] = [[]] if room - len(parts) - len(following) - len(strips) - len(in_flight) > 1 else []
    return [*strips, *gap, *parts, *in_flight, *following][:room] if len(parts) < room else parts[:room]


def _listed(view: View, label: str, members: list[Member], width: int, widths: tuple[int, int], most: int) -> list[Line]:
    """A line for each when *most* lines hold them, else the names one after the other; the last resort is their number."""
    if most < 1:
        return []
    if len(members) <= most:
        head = 10
        return [[(label.ljust(head) if index == 0 else " " * head, "faint"), *member_line(view, member, width - head, widths)]
                for index, member in enumerate(members)]
    if members[0].state == FLIGHT:
        return _by_stage(view, members, width, most)
    return flowed(f"{label} {len(members)}  ", [(member.name, MARKS[member.state][1]) for member in members], width, most=most)


def _by_stage(view: View, members: list[Member], width: int, most: int) -> list[Line]:
    """Those in flight by what they are at, who has been under way longest first."""
    stages: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda member: member.started or 0.0):
        stages.setdefault(("going back: " if member.back else "") + member.stage, []).append(member)
    if len(stages) > most:
        stages = {"in flight": [member for group in stages.values() for member in group]}
    heads = {stage: inert(f"{len(group):>3} {stage}") for stage, group in stages.items()}
    label = min(32, max(map(len, heads.values())) + 2)
    lines: list[Line] = []
    for number, (stage, group) in enumerate(stages.items(), start=1):
        words = [(member.name + (f" {_took(view, member)}" if member is group[0] else ""), "warning" if member.back else MARKS[FLIGHT][1]) for member in group]
        lines += flowed(f"{heads[stage][:label - 2]:<{label}}", words, width, most=max(1, most - len(lines) - (len(stages) - number)))
    return lines


def _strips(groups: list[Group], width: int, most: int) -> list[Line]:
    """A strip of cells for each group, one cell for each member, with a legend; drawn the same way for all groups."""
    label = min(18, max(len(inert(heading)) for heading, _members in groups) + 2)
    label = label if label > 2 else 0
    longest = max(len(members) for _heading, members in groups)
    lines: list[Line] = []
    for counted in (_counts, _short_counts):
        if label + longest + 2 + max(columns(counted(members)) for _heading, members in groups) <= width:
            lines = [[*padded([(heading, "bold")], label), *_cells(members), (" " * (longest - len(members) + 2), ""), *counted(members)]
                     for heading, members in groups]
            break
    else:
        for heading, members in groups:
            lines.append([*padded([(heading, "bold")], label), *_counts(members)])
            lines += [[("  ", ""), *_cells(members[at:at + width - 2])] for at in range(0, len(members), width - 2)]
    if len(lines) + 1 > most:
        words = [(f"{heading} {''.join(CELLS[member.state] for member in members)}".strip(), "") for heading, members in groups]
        lines = flowed("", words, width, most=max(1, most - 1), between="  ")
    return [*lines, _legend(groups)] if most > 1 else lines


def _cells(members: Iterable[Member]) -> Line:
    return joined((CELLS[member.state], MARKS[member.state][1]) for member in members)


def _counts(members: list[Member]) -> Line:
    line: Line = [(f"{_finished(members)} of {len(members)}", "")]
    return line + [(f", {number} {word}", MARKS[state][1]) for number, state, word in _tally(members)]


def _short_counts(members: list[Member]) -> Line:
    line: Line = [(f"{_finished(members)}/{len(members)}", "")]
    return line + [(f" {number}{CELLS[state]}", MARKS[state][1]) for number, state, _word in _tally(members)]


def _finished(members: list[Member]) -> int:
    return sum(member.state in (DONE, STANDBY, STAYS) for member in members)


def _tally(members: list[Member]) -> list[tuple[int, str, str]]:
    """How many are in each counted group of states, the state that lends it its mark, and its word; empty groups are left out."""
    numbers = [(sum(member.state in wanted for member in members), wanted[0], word) for wanted, word in COUNTED]
    return [row for row in numbers if row[0]]


def _legend(groups: list[Group]) -> Line:
    present = {member.state for _heading, members in groups for member in members}
    words = {DONE: "done", STANDBY: "standing by", FLIGHT: "in flight", TODO: "to do", STAYS: "stays", RETURNED: "returned", FAILED: "failed, lost"}
    if LOST in present:
        present.add(FAILED)
    return [("  ".join(f"{CELLS[state]} {word}" for state, word in words.items() if state in present), "faint")]


def _next_line(view: View, members: list[Member], width: int) -> list[Line]:
    """Who starts next, as planned."""
    waiting = sorted((member for member in members if member.state == TODO and member.pending),
                     key=lambda member: (member.step or 0, member.wave or 0, natural(member.name)))
    if not waiting or view.holding[0] == "stopped":
        return flowed("not started  ", [(plural(len(waiting), "member"), "warning")], width, most=1) if waiting else []
    return flowed("next      ", [(member.name, "") for member in waiting], width, most=1)
