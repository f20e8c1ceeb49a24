# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts by their names: their variables, and names that Ansible reads as a pattern, so that other hosts would take part. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

# A name that ansible-core takes as one host: no separator (space, comma, colon, half a pair of brackets), no wildcard, no sign of a set or of a regular
# expression. A whole pair, as Terraform has it in web[0], is a part of the name of a host that there is.
_PLAIN = re.compile(r"(?![!&~@-])(?:[^\s,:;*?\[\]{}\\]|\[[^\s,:;*?!\[\]{}\\]*\])+")
_WITH_IPV4 = re.compile(r"::(?:ffff:)?[0-9.]+", re.IGNORECASE)
CURE = ("rename it in the inventory (a cloud's inventory plugin makes names of Name tags: set its hostnames to another attribute), "
        "and set the host's member_name where load balancers know it by another name")


def variables_of(name: str | None, hostvars: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The variables of a host; none for one that the inventory does not have, which Ansible's own mapping has no default for."""
    if name is None or name not in hostvars:
        return {}
    return hostvars[name]


def is_plain(name: str) -> bool:
    """Whether a play with this name as its hosts is for this host alone."""
    return bool(_PLAIN.fullmatch(name)) or _is_ipv6(name)


def _is_ipv6(name: str) -> bool:
    """Whether ansible-core takes the name for an IPv6 address. Of the ways to write one it does not know a zone, few with an IPv4 address at their end, and
    none whose ``::`` at an end stands for a single zero; it takes those apart at their colons."""
    try:
        if ipaddress.ip_address(name).version != 6 or "%" in name:
            return False
    except ValueError:
        return False
    if "." in name:
        return bool(_WITH_IPV4.fullmatch(name))
    before, shortened, after = name.partition("::")
    return not shortened or bool(before and after) or name.count(":") <= 7


def name_problems(names: Sequence[str], variable: str) -> list[str]:
    """A sentence for the hosts of a group whose names are patterns."""
    patterns = sorted({name for name in names if not is_plain(name)})
    if not patterns:
        return []
    quoted = ", ".join(map(repr, patterns[:3])) + (f" and {len(patterns) - 3} more" if len(patterns) > 3 else "")
    return [f"{variable}: Ansible reads {quoted} as a pattern that other hosts may match, because of spaces, commas, colons or wildcards: {CURE}"]
