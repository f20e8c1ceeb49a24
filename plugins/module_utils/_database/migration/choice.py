# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The query that chooses the rows of a batch: the part of its statement that has the LIMIT, as a separate query. Pure.

A step is complete when this query finds no row. The number of changed rows does not show that: the statement may skip rows, or find them changed already.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .sql import Dialect, Token, name_of, path_at, statements, tokens

BOUNDS = ("LIMIT", "FETCH")
QUERIES = ("SELECT", "WITH", "VALUES", "TABLE")
CHANGES = ("INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE")
# A sub-select in one of these chooses rows. In others, such as SET, it gives a value.
CHOOSES = ("FROM", "WHERE", "USING", "JOIN")
CLAUSES = (*CHOOSES, "SELECT", "SET", "VALUES", "RETURNING", "BY", "HAVING", "INTO", "ON")
# Between UPDATE, or DELETE FROM, and the name of the table; and INSERT and the query.
MODIFIERS = ("LOW_PRIORITY", "QUICK", "IGNORE", "ONLY")
AFTER_FROM = ("WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "FETCH", "FOR", "UNION", "EXCEPT", "INTERSECT", "RETURNING", "OFFSET")
NO_ALIAS = (*AFTER_FROM, "ON", "USING", "JOIN", "LEFT", "RIGHT", "INNER", "FULL", "CROSS", "NATURAL", "SET", "AS")
AFTER, LAST = "after", "last"


@dataclass(frozen=True)
class Choice:
    """`sql`: the query, the cursor's `:after` in it. `tables`: the table that an alias stands for, names as the catalog spells them.

    `column`, `table`: by what a cursor goes on; "" and () without one. `is_locked`: it locks what it chooses, and so finds it as it is.
    `objection`: why its cursor could pass rows by, or find them twice.
    """

    sql: str
    tables: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    column: str = ""
    table: tuple[Any, ...] = ()
    is_locked: bool = False
    objection: str = ""


@dataclass(frozen=True)
class BatchPlan:
    """What a batch runs: `statement` changes the rows that `choice` finds. `is_range`: it changes all rows behind `:after` up to `:last`.

    `objection`: why it could be recorded as done while rows are left, or change rows twice. `is_counted`: the server reports how many rows it changes.
    `is_stable`: rows are locked as they are chosen, in the table that is changed, and so cannot become others before they are changed.
    """

    choice: Choice
    statement: str
    objection: str = ""
    is_counted: bool = True
    is_stable: bool = False
    is_range: bool = False


class Text:
    """SQL text by its tokens. `words` has them in capitals, "" for a name in quotes; `depths` in how many parentheses each is."""

    def __init__(self, sql: str, dialect: Dialect) -> None:
        self.sql = sql
        self.tokens: list[Token] = [token for token in tokens(sql, dialect) if token.text != ";"]
        self.words = ["" if token.kind == "name" else token.text.upper() for token in self.tokens]
        self.depths: list[int] = []
        depth = 0
        for word in self.words:
            depth -= word == ")"
            self.depths.append(depth)
            depth += word == "("

    def find(self, words: tuple[Any, ...], begin: int = 0, end: int | None = None, depth: int = 0) -> int:
        """The number of the first of these words at a depth, `end` (or the number of tokens) when there is none."""
        end = len(self.words) if end is None else end
        return next((at for at in range(begin, end) if self.words[at] in words and self.depths[at] == depth), end)

    def slice(self, begin: int, end: int) -> str:
        """The text from one token up to another one."""
        last = self.tokens[end - 1]
        return self.sql[self.tokens[begin].at:last.at + len(last.text)] if begin < end else ""

    def opening(self, at: int) -> int:
        """The number of the parenthesis that a token is in; -1 for none."""
        return next((before for before in range(at - 1, -1, -1) if self.words[before] == "(" and self.depths[before] == self.depths[at] - 1), -1)

    def closing(self, opening: int) -> int:
        """The number of its other half."""
        return self.find((")",), opening + 1, depth=self.depths[opening])

    def path(self, at: int) -> tuple[tuple[Any, ...], int]:
        """The name at a place, with what it is qualified by, as the catalog spells it; and the number of the token behind it."""
        return path_at(self.tokens, at)

    def name(self, at: int) -> str:
        """One token as the catalog spells it."""
        return name_of(self.tokens[at])

    def cursors(self, name: str) -> list[int]:
        """The numbers of the colons of `:name`."""
        found = [at for at in range(len(self.tokens) - 1) if self.words[at:at + 2] == [":", name.upper()] and self.tokens[at + 1].at == self.tokens[at].at + 1]
        # Two colons are a cast.
        return [at for at in found if not (at and self.words[at - 1] == ":" and self.tokens[at - 1].at == self.tokens[at].at - 1)]


def plan_of(script: str, dialect: Dialect, has_cursor: bool = False) -> BatchPlan | None:
    """How a batch step goes on; None when it is not clear which query chooses its rows."""
    found = [script[statement.begin:statement.end] for statement in statements(script, dialect)]
    if len(found) == 2 and has_cursor:
        query = query_choice(found[0], dialect, True)
        return BatchPlan(query, found[1], query.objection or _range_objection(*(Text(part, dialect) for part in found)), is_range=True)
    choice = choice_of(found[0], dialect, has_cursor) if len(found) == 1 else None
    if choice is None:
        return None
    text = Text(found[0], dialect)
    main = _main(text)
    is_stable = choice.is_locked and [table[-1:] for table in choice.tables.values()] == [_target(text)[-1:]]
    return BatchPlan(choice, script, choice.objection, main < len(text.words) and text.words[main] in CHANGES, is_stable)


def choice_of(statement: str, dialect: Dialect, has_cursor: bool = False) -> Choice | None:
    """The query that chooses the rows of one statement that changes some; None when that is not clear."""
    text = Text(statement, dialect)
    groups = {text.opening(at) for at, word in enumerate(text.words) if word in BOUNDS}
    chosen = sorted((group for group in groups if _chooses(text, group)), key=lambda group: -1 if group < 0 else text.depths[group])
    # Of one in another, the outer one says how many.
    if not chosen or (len(chosen) > 1 and chosen[0] >= 0 and text.depths[chosen[0]] == text.depths[chosen[1]]):
        return None
    group = chosen[0]
    sql = _whole_statement(text) if group < 0 else text.slice(group + 1, text.closing(group))
    sql = sql and _with_what_it_refers_to(text, group, sql, dialect)
    return (sql and query_choice(sql, dialect, has_cursor, _is_key(text, group), _target(text))) or None


def reads_what_it_changes(script: str, dialect: Dialect) -> bool:
    """Whether a statement of a script changes rows of a table by what a query in it has found in that table, without a lock on what it finds.

    What others commit between would be overwritten, unless the transaction sees to it that it is as it was found.
    """
    for statement in statements(script, dialect):
        text = Text(script[statement.begin:statement.end], dialect)
        targets = {_target_at(text, at)[-1:] for at, word in enumerate(text.words) if word in ("UPDATE", "DELETE", "MERGE", "REPLACE")
                   or (word == "INSERT" and ("DUPLICATE" in text.words or "CONFLICT" in text.words))}
        read = {text.path(at + 1)[0][-1:] for at, word in enumerate(text.words) if word in ("FROM", "JOIN") and text.words[at - 1:at] != ["DELETE"]}
        if targets & read - {()} and ("FOR", "UPDATE") not in zip(text.words, text.words[1:]):
            return True
    return False


def query_choice(sql: str, dialect: Dialect, has_cursor: bool, is_key: bool = False, target: tuple[Any, ...] = ()) -> Choice:
    """The choice that a query makes.

    :param is_key: rows are changed whose key is among what it finds, in the table `target`.
    """
    text = Text(sql, dialect)
    tables, is_alone = _tables(text)
    is_locked = _is_locked(text) and is_alone
    sql = _without_skipping(text)
    if not has_cursor:
        return Choice(sql, tables, is_locked=is_locked)
    column, objection = _cursor(text)
    table = tables.get(column[-2], ()) if len(column) > 1 else next(iter(tables.values()), ()) if is_alone else ()
    if not objection:
        objection = _why_a_row_could_be_cut(text, column, table, is_alone, is_key, target)
    return Choice(sql, tables, column[-1] if column else "", table, is_locked, objection)


def _chooses(text: Text, group: int) -> bool:
    """Whether what is in a parenthesis, -1 for the statement itself, is a query for rows, and not for a value."""
    if group < 0:
        return True
    if text.words[group + 1] not in QUERIES:
        return False
    while group >= 0:
        before = text.words[group - 1] if group else ""
        if before in ("EXISTS", "<", ">") or text.words[max(0, group - 2):group] in (["NOT", "IN"], [">", "="], ["<", "="]):
            return False
        if before not in ("AS", "MATERIALIZED"):
            depth = text.depths[group]
            clause = next((text.words[at] for at in range(group - 1, -1, -1)
                           if text.depths[at] <= depth and (text.depths[at] < depth or text.words[at] in CLAUSES)), "")
            if clause in CLAUSES and clause not in CHOOSES:
                return False
        group = text.opening(group)
    return True


def _main(text: Text) -> int:
    """The number of the word that says what the statement does, behind what it begins WITH."""
    return text.find((*CHANGES, "SELECT"))


def _target(text: Text) -> tuple[Any, ...]:
    """The table that the statement changes; () when that is not plain."""
    return _target_at(text, _main(text))


def _target_at(text: Text, at: int) -> tuple[Any, ...]:
    verb = text.words[at] if at < len(text.words) else ""
    at += 1
    while at < len(text.words) and text.words[at] in (*MODIFIERS, "FROM", "INTO"):
        at += 1
    return text.path(at)[0] if verb in CHANGES else ()


def _whole_statement(text: Text) -> str:
    """The query of a statement whose own LIMIT it is: INSERT ... SELECT, and MariaDB's UPDATE and DELETE of one table."""
    main = _main(text)
    verb = text.words[main] if main < len(text.words) else ""
    if verb in ("INSERT", "REPLACE"):
        begin = text.find(("SELECT", "VALUES", "TABLE", "WITH"), main)
        # ON belongs to a join unless it says what becomes of a row that is there.
        end = min([at for at in range(begin, len(text.words)) if text.depths[at] == 0 and (
            text.words[at] == "RETURNING" or (text.words[at] == "ON" and text.words[at + 1:at + 2] in (["CONFLICT"], ["DUPLICATE"])))] or [len(text.words)])
        return text.slice(begin, end)
    begin = main + 1
    while begin < len(text.words) and text.words[begin] in (*MODIFIERS, "FROM"):
        begin += 1
    if verb == "DELETE":
        return f"SELECT * FROM {text.slice(begin, text.find(('RETURNING',), begin))}"
    if verb == "UPDATE":
        to_set = text.find(("SET",), begin)
        where = text.find(("WHERE", "ORDER", "LIMIT"), to_set)
        return f"SELECT * FROM {text.slice(begin, to_set)} {text.slice(where, text.find(('RETURNING',), where))}"
    return ""


def _with_what_it_refers_to(text: Text, group: int, sql: str, dialect: Dialect) -> str:
    """The query behind the queries of the statement's WITH that it names; "" when one of them changes rows."""
    if not text.words or text.words[0] != "WITH":
        return sql
    names = {token.text.lower() for token in Text(sql, dialect).tokens if token.kind != "other"}
    begin, needed, end = 1 + (text.words[1:2] == ["RECURSIVE"]), False, 0
    at = begin
    while at < len(text.words):
        opening = text.find(("(",), text.find(("AS",), at))
        closing = text.closing(opening) if opening < len(text.words) else opening
        if closing >= len(text.words) or opening < group < closing or opening == group:
            break
        if text.tokens[at].text.lower() in names:
            needed, end = True, closing + 1
        if end == closing + 1 and any(text.words[opening + 1] == verb for verb in CHANGES):
            return ""
        at = closing + 2
        if text.words[closing + 1:closing + 2] != [","]:
            break
    if not needed:
        return sql
    if any(text.words[at - 1] == "(" and text.words[at] in CHANGES for at in range(begin + 1, end)):
        return ""
    return f"WITH {'RECURSIVE ' if begin == 2 else ''}{text.slice(begin, end)} {sql}"


def _is_key(text: Text, group: int) -> bool:
    return group > 0 and text.words[group - 1] in ("IN", "ANY", "SOME", "ARRAY", "=")


def _tables(text: Text) -> tuple[dict[str, tuple[Any, ...]], bool]:
    """The tables behind FROM by their aliases, and whether there is one only."""
    begin = text.find(("FROM",)) + 1
    end = text.find(AFTER_FROM, begin)
    found: dict[str, tuple[Any, ...]] = {}
    joined = begin < end and any(text.words[at] in (",", "JOIN") and text.depths[at] == 0 for at in range(begin, end))
    at, expects = begin, True
    while at < end:
        if expects and text.words[at] not in ("LATERAL", "ONLY", "("):
            path, at = text.path(at)
            at += at < end and text.words[at] == "AS"
            has_alias = at < end and text.tokens[at].kind in ("word", "name") and text.words[at] not in NO_ALIAS
            if path:
                found[text.name(at) if has_alias else path[-1]] = path
            expects = False
        if at < end:
            expects = (text.depths[at] == 0 and text.words[at] in (",", "JOIN")) or (expects and text.words[at] in ("LATERAL", "ONLY"))
        at += 1
    return found, len(found) == 1 and not joined


def _is_locked(text: Text) -> bool:
    for at, word in enumerate(text.words):
        if word == "FOR" and text.depths[at] == 0:
            rest = [other for other in text.words[at + 1:] if other not in ("NO", "KEY")]
            return rest[:1] == ["UPDATE"] and "OF" not in rest
    return False


def _without_skipping(text: Text) -> str:
    """The query as one that waits for rows that others hold."""
    sql = text.sql
    for at in reversed(range(len(text.words) - 1)):
        if text.words[at:at + 2] == ["SKIP", "LOCKED"]:
            sql = sql[:text.tokens[at].at] + sql[text.tokens[at + 1].at + len("LOCKED"):]
    return sql.strip()


def _cursor(text: Text) -> tuple[tuple[Any, ...], str]:
    """The column that is compared with `:after`, qualified as it is there; and what is wrong with how it goes on."""
    places = [at for at in text.cursors(AFTER) if text.depths[at] == 0]
    if len(places) != 1:
        return (), "the query that chooses a batch has to compare one column with :after, once, as in WHERE id > :after"
    at = places[0]
    begin = at - 2
    while begin > 1 and text.words[begin - 1] == ".":
        begin -= 2
    column, end = text.path(begin)
    is_loose = text.find(("OR",), text.find(("WHERE",))) < len(text.words)
    if text.words[at - 1] != ">" or not column or end != at - 1 or text.words[begin - 1] not in ("WHERE", "AND") or is_loose:
        return (), "its cursor has to be a plain column that is larger than :after, as in WHERE id > :after: any other comparison finds rows twice or never"
    order = text.find(("ORDER",))
    sorted_by, behind = text.path(order + 2) if order < len(text.words) else ((), 0)
    if sorted_by[-1:] != column[-1:] or text.words[behind:behind + 1] == ["DESC"]:
        return column, (f"the query that chooses a batch is not sorted by its cursor, so that rows before its largest value would be passed by: "
                        f"write ORDER BY {'.'.join(column)}")
    return column, ""


def _why_a_row_could_be_cut(text: Text, column: tuple[Any, ...], table: tuple[Any, ...], is_alone: bool, is_key: bool, target: tuple[Any, ...]) -> str:
    """Why what belongs to one value of the cursor could be in two batches, or in none."""
    if not table:
        return f"the table of the column {'.'.join(column)} is not clear: write its table's alias before it"
    items = _selected(text)
    if column[-1] not in items and "*" not in items:
        return f"the query that chooses a batch has to select its cursor, the column {column[-1]}"
    if not is_alone and not (is_key and items[0] == column[-1]):
        return "its query joins tables, so the LIMIT can separate rows with the same value: choose keys of one table"
    if is_key and items[0] not in (column[-1], "*") and table[-1:] != target[-1:]:
        return f"the key that it chooses, {items[0]}, is not its cursor, so one key can be in two batches: use the key of the changed table"
    return ""


def _selected(text: Text) -> list[str]:
    """The names of what a query selects, "" for what has none."""
    begin = text.find(("SELECT",)) + 1
    end = text.find(("FROM",), begin)
    begin += text.words[begin:begin + 1] in (["ALL"], ["DISTINCT"])
    edges = [begin - 1, *(at for at in range(begin, end) if text.words[at] == "," and text.depths[at] == 0), end]
    return [("*" if text.words[edge - 1] == "*" else text.name(edge - 1)) if edge - 1 > before else "" for before, edge in zip(edges, edges[1:])]


def _range_objection(query: Text, change: Text) -> str:
    """Why the second statement of a script would change other rows than the first one has chosen; "" when it would not."""
    comparisons = {name: [change.words[at - 2:at] for at in change.cursors(name)] for name in (AFTER, LAST)}
    if not all(comparisons.values()) or any(found[1:] != [">"] for found in comparisons[AFTER]) or any(found != ["<", "="] for found in comparisons[LAST]):
        return "its second statement has to change the rows behind :after up to :last, as in WHERE id > :after AND id <= :last"
    wanted = [condition for condition in _conditions(query) if ":" not in condition]
    missing = [" ".join(condition) for condition in wanted if condition not in _conditions(change)]
    if missing:
        return f"its second statement changes rows that the first one has not chosen: repeat the condition in it ({missing[0].lower()})"
    return ""


def _conditions(text: Text) -> list[list[str]]:
    """The parts of a WHERE between its ANDs, as words; of a statement's own WHERE, and of the first one in it when it has none."""
    begin = next((at + 1 for depth in range(max(text.depths, default=0) + 1) for at, word in enumerate(text.words)
                  if word == "WHERE" and text.depths[at] == depth), len(text.words))
    depth = text.depths[begin] if begin < len(text.words) else 0
    end = next((at for at in range(begin, len(text.words)) if text.depths[at] < depth or (text.depths[at] == depth and (
        text.words[at] in AFTER_FROM[1:] or (text.words[at] == "ON" and text.words[at + 1:at + 2] == ["CONFLICT"])))), len(text.words))
    edges = [begin - 1, *(at for at in range(begin, end) if text.words[at] == "AND" and text.depths[at] == depth), end]
    return [[text.words[at] or text.tokens[at].text for at in range(before + 1, edge)] for before, edge in zip(edges, edges[1:])]
