# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the YAML of playbooks and roles holds to: short expressions, and a prefix on every variable that a playbook defines."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml
from conftest import REPOSITORY

PLAYBOOKS = REPOSITORY / "playbooks"
# Of playbooks: internal names, published ones, and those of the strategies.
PREFIXES = ("alwayson_", "upgrade_", "rolling_", "cleanup_")
# What a playbook of a user's own reads after tasks/switch_database.yml, until 1.0.0.
OLD_NAMES = {"exchanged"}
# Facts that the plays of other hosts read from localhost under the same name, and what failover.yml has in place of one.
READ_FROM_LOCALHOST = {"alwayson_service", "alwayson_plan", "alwayson_traffic_calls"}
# Characters of an expression, with runs of white space counted as one: of a call with its arguments, and of anything that decides or gathers.
LONGEST_CALL, LONGEST = 160, 120
EXPRESSION = re.compile(r"\{\{(.*?)\}\}(?!\})", re.DOTALL)
# Keywords whose values are expressions without braces.
BARE = ("when", "until", "failed_when", "changed_when", "that")
DECIDES = re.compile(r"\b(if|else|for|and|or|ternary|select|reject|selectattr|rejectattr|map|zip|combine|dict2items|dictsort|flatten|union|intersect)\b")


def definitions(node: object) -> Iterator[tuple[str, str]]:
    """The variables that plays and tasks define, each with how: as a variable (vars, a loop) or as a fact of the host (set_fact, register)."""
    if isinstance(node, list):
        for entry in node:
            yield from definitions(entry)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("vars", "ansible.builtin.set_fact") and isinstance(value, dict):
                yield from ((name, "variable" if key == "vars" else "fact") for name in value)
            elif key in ("register", "loop_var", "index_var"):
                yield value, "fact" if key == "register" else "variable"
            yield from definitions(value)


def defined_by_playbooks() -> dict[str, set[tuple[str, str]]]:
    """Each variable that is defined under playbooks/: the files that define it, each with how."""
    found: dict[str, set[tuple[str, str]]] = {}
    for path in sorted(PLAYBOOKS.rglob("*.yml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, how in (*((name, "variable") for name in (content if path.parent.name == "vars" else ())), *definitions(content)):
            found.setdefault(name, set()).add((str(path.relative_to(PLAYBOOKS)), how))
    return found


def expressions(node: object, key: str = "") -> Iterator[str]:
    """Every Jinja expression of a file, and every condition, without runs of white space."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from expressions(value, str(name))
    elif isinstance(node, list):
        for entry in node:
            yield from expressions(entry, key)
    elif isinstance(node, str):
        yield from (" ".join(text.split()) for text in ([node] if key in BARE else EXPRESSION.findall(node)))


def options_of_roles() -> set[str]:
    specs = [yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"] for path in sorted(REPOSITORY.glob("roles/*/meta/argument_specs.yml"))]
    return {name for spec in specs for entry in spec.values() for name in entry["options"]}


def test_every_variable_that_a_playbook_defines_has_a_prefix():
    """So that `-e service=shop`, or a host's variable of that name, replaces none of them."""
    found, options = defined_by_playbooks(), options_of_roles()
    wrong = {name: sorted(files) for name, files in found.items() if not name.startswith(PREFIXES) and name not in options | OLD_NAMES}
    assert len(found) > 200 and len(options) > 80
    assert wrong == {}


def test_no_variable_has_the_name_of_a_fact_which_would_hide_it():
    found = defined_by_playbooks()
    both = {name for name, ways in found.items() if {how for _file, how in ways} == {"variable", "fact"}}
    assert both - READ_FROM_LOCALHOST == set()


@pytest.mark.parametrize("pattern", ["playbooks/**/*.yml", "roles/*/tasks/*.yml", "roles/*/vars/*.yml", "roles/*/defaults/*.yml"])
def test_what_decides_is_a_filter_and_no_long_expression(pattern):
    """A filter has a name and tests of its own; an expression has neither."""
    files = sorted(REPOSITORY.glob(pattern))
    found = [(path, text) for path in files for text in expressions(yaml.safe_load(path.read_text(encoding="utf-8")))]
    long = [f"{path.relative_to(REPOSITORY)}: {len(text)}: {text}" for path, text in found
            if len(text) > LONGEST_CALL or (len(text) > LONGEST and DECIDES.search(text))]
    assert files and found and long == []


def test_a_long_expression_is_found_wherever_it_stands():
    long = "a | " * 50 + "b"
    assert list(expressions([{"tasks": [{"when": [long], "vars": {"name": [f"{{{{ {long} }}}} and {{{{ c }}}}"]}}]}])) == [long, long, "c"]
    assert DECIDES.search("x if y else z") and DECIDES.search("x | map('y')") and not DECIDES.search("service | alwayson.upgrade.plan(format)")
