# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who in the lab: names, roles, zones, addresses."""

from __future__ import annotations

from dataclasses import dataclass

NETWORK = "10.77.0.0/24"
CONTROLLER = "10.77.0.1"
VIRTUAL_ADDRESS = "10.77.0.10"
# Tenant, as clients say it, and the database it lives in.
TENANTS = {"a": "tenant_a", "b": "tenant_b"}


@dataclass(frozen=True)
class Host:
    """One host of the lab; `role` is load_balancer, application, database or repository."""

    name: str
    role: str
    address: str
    zone: str | None = None

    @property
    def mac(self) -> str:
        """Always the same: with a new one after a reboot, the neighbours would talk to the old one for seconds."""
        return "02:77:" + ":".join(f"{int(part):02x}" for part in self.address.split("."))


HOSTS = (
    Host("repo1", "repository", "10.77.0.5"),
    Host("lb1", "load_balancer", "10.77.0.11", "east"),
    Host("lb2", "load_balancer", "10.77.0.12", "west"),
    *(Host(f"app{number}", "application", f"10.77.0.{20 + number}", "east" if number <= 3 else "west") for number in range(1, 7)),
    Host("db1", "database", "10.77.0.31", "east"),
    Host("db2", "database", "10.77.0.32", "west"),
)
PRIMARY, STANDBY = "db1", "db2"


def of_role(role: str) -> list[Host]:
    """The hosts with this role, in the order of their names."""
    return [host for host in HOSTS if host.role == role]


def host(name: str) -> Host:
    """The host with this name; KeyError when there is none."""
    return {host.name: host for host in HOSTS}[name]
