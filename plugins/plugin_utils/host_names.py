# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of hosts that Ansible reads as a pattern where a play's hosts are computed: other hosts would take part. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

# A name that ansible-core takes as one host: no separator (space, comma, colon), no wildcard, no sign of a set or of a regular expression.
_PLAIN = re.compile(r"[^\s,:;!&~@*?\[\](){}\"'\\-][^\s,:;*?\[\](){}\"'\\]*")
CURE = ("rename it in the inventory (a cloud's inventory plugin makes names of Name tags: set its hostnames to another attribute), "
        "and set the host's member_name where load balancers know it by another name")


def is_plain(name: str) -> bool:
    """Whether a play with this name as its hosts is for this host alone."""
    if _PLAIN.fullmatch(name):
        return True
    try:
        return ipaddress.ip_address(name).version == 6
    except ValueError:
        return False


def name_problems(names: Sequence[str], variable: str) -> list[str]:
    """A sentence for the hosts of a group whose names are patterns."""
    patterns = sorted({name for name in names if not is_plain(name)})
    if not patterns:
        return []
    told = ", ".join(map(repr, patterns[:3])) + (f" and {len(patterns) - 3} more" if len(patterns) > 3 else "")
    return [f"{variable}: Ansible reads {told} as a pattern that other hosts may match, because of spaces, commas, colons or wildcards: {CURE}"]
