# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where members stand: their failure domains by address, and the waves in which they go. Pure: variables in, names out."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from .checks import refuse_misspelt
from .limits import ScheduleError
from .variables import PREFIX, known_variables, schedule_from, strategy_options_from
from .waves import waves


class TopologyError(ValueError):
    """An address or a prefix that cannot be read, or an address without a domain."""


def wave_names(hosts: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The waves of a roll over *hosts*, as lists of their names, in order.

    :param hostvars: host name to its variables; only the ``rolling_*`` ones are read.
    :raises ScheduleError: for a host that is not there, variables that cannot be honoured, or a roll that would never finish.
    """
    by_host = {name: _rolling_variables(name, hostvars) for name in _names(hosts)}
    if not by_host:
        return []
    others = {name: _rolling_variables(name, hostvars) for name in strategy_options_from(by_host).pool_hosts if name not in by_host}
    predicted = waves(schedule_from(by_host, others))
    if not predicted[-1]["members"]:
        done = sum(len(wave["members"]) for wave in predicted)
        raise ScheduleError(f"the roll would never finish: after {done} of {len(by_host)} hosts no member may start, because {predicted[-1]['reason']}")
    return [wave["members"] for wave in predicted]


def failure_domain(address: object, domains: Mapping[str, str], default: str | None = None) -> str:
    """The domain of the longest prefix that holds the address.

    :param address: an IPv4 or IPv6 address.
    :param domains: prefix (``10.1.0.0/16``, ``2001:db8::/32``) to the name of its domain.
    :param default: the answer for what is no address (a host's name, say) or has no prefix; without it that is an error.
    :raises TopologyError: naming the address or the prefix.
    """
    if not isinstance(domains, Mapping):
        raise TopologyError(f"the domains are {domains!r}: give a dictionary of prefixes and domains such as {{'10.1.0.0/16': 'east'}}")
    networks = _networks(tuple((str(prefix), str(domain)) for prefix, domain in domains.items()))
    try:
        known = ipaddress.ip_address(str(address).partition("%")[0])
    except ValueError:
        if default is None:
            raise TopologyError(f"{str(address)!r} is no IP address: give the address of the host, or a default") from None
        return default
    known = getattr(known, "ipv4_mapped", None) or known
    found = next((domain for network, domain in networks if known in network), default)
    if found is None:
        raise TopologyError(f"no prefix holds {known}: add its prefix to {', '.join(domains) or 'the domains'}, or give a default")
    return found


@functools.lru_cache(maxsize=8)
def _networks(domains: tuple[tuple[str, str], ...]) -> list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, str]]:
    """The prefixes, the longest first."""
    networks: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, str] = {}
    for prefix, domain in domains:
        try:
            network = ipaddress.ip_network(prefix)
        except ValueError as error:
            raise TopologyError(f"{prefix!r} is no prefix: {error}") from None
        if networks.setdefault(network, domain) != domain:
            raise TopologyError(f"{network} is in two domains, {networks[network]} and {domain}")
    return sorted(networks.items(), key=lambda entry: -entry[0].prefixlen)


def _names(hosts: object) -> list[str]:
    if isinstance(hosts, str) or not isinstance(hosts, Sequence):
        raise ScheduleError(f"the hosts are {hosts!r}: give a list of host names such as groups['web']")
    return [str(name) for name in hosts]


def _rolling_variables(name: str, hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    if name not in hostvars:
        raise ScheduleError(f"{name} is not in the inventory")
    variables = hostvars[name]
    refuse_misspelt(variable for variable in variables if str(variable).startswith(PREFIX))
    return {variable: variables[variable] for variable in known_variables() if variable in variables}
