# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a member gets no traffic from a load balancer, in words that fit what its health check found, and what to do. Pure.

Source: HAProxy's management guide, ``show stat``, column ``check_status``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .interface import DRAIN, HEALTHY, MAINT, READY

_LOOK_AT_THE_MEMBER = "ask the member for that page, and see its application's log"
_LOOK_AT_THE_WAY = "see whether the service listens there, and whether the network lets the load balancer through"
# By how the check ended: what {balancer} found at {address}, and what to do. {code} is the status that the member answered.
_CHECKS = {
    "L4CON": ("{balancer} could not connect to {address}", _LOOK_AT_THE_WAY),
    "L4TOUT": ("{balancer} could not connect to {address} in time", _LOOK_AT_THE_WAY),
    "L6RSP": ("{balancer} reached {address}, and TLS failed there", "see whether the member speaks TLS, and with which certificate"),
    "L6TOUT": ("{balancer} reached {address}, and TLS was not answered in time", "see whether the member speaks TLS"),
    "L7STS": ("{balancer} reached {address}, and its health check was answered with status {code}", _LOOK_AT_THE_MEMBER),
    "L7RSP": ("{balancer} reached {address}, and the answer to its health check does not follow the protocol", _LOOK_AT_THE_MEMBER),
    "L7TOUT": ("{balancer} reached {address}, and its health check was not answered in time", _LOOK_AT_THE_MEMBER),
    "SOCKERR": ("{balancer} could not open a socket for its health check", "see the load balancer's log and its limits"),
    "HANA": ("{balancer} got too many failed answers from {address}", _LOOK_AT_THE_MEMBER),
}
_NO_ADDRESS = ("", "-", "0.0.0.0", "::", "[::]")


def has_address(member: Mapping[str, Any]) -> bool:
    """Whether a server of a load balancer has an address; a spare place of a template has none before it is filled."""
    address = member.get("address", "")
    return (address.rpartition(":")[0] if ":" in address else address) not in _NO_ADDRESS


def is_spare(member: Mapping[str, Any]) -> bool:
    """Whether it is such a place: nothing is sent there, so it is no member."""
    return member["admin"] == MAINT and not has_address(member)


def is_down(member: Mapping[str, Any]) -> bool:
    """Whether it would get traffic, and its health check keeps it out: what may change by itself in a moment."""
    return member["admin"] == READY and member["health"] not in HEALTHY


def why_not_live(balancer: str, member: Mapping[str, Any]) -> str:
    """A clause, and what to do.

    :param member: as ``_traffic.views.view_as_data`` has it, and not live.
    """
    if is_spare(member):
        return f"{balancer} has no address for it; see whether its name can be resolved there"
    if member["admin"] in (DRAIN, MAINT):
        return f"it is in {member['admin']} on {balancer}; return it with alwayson.upgrade.traffic_member, state=ready"
    if member["health"] in HEALTHY:
        how = "is a backup" if member.get("backup") else "has the weight 0"
        return f"it {how} on {balancer}; change that there"
    check = member.get("check") or ""
    found, remedy = _CHECKS.get(check, ("{balancer} has it as " + f"{member['health']} {check}".strip(), "see the load balancer's log"))
    words = found.format(balancer=balancer, address=member.get("address"), code=member.get("check_code") or "another one than expected")
    return f"{words}{f' ({check})' if check in _CHECKS else ''}; {remedy}"
