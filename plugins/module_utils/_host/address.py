# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host and a port as one text, the way URLs and load balancers write them. Pure."""

from __future__ import annotations

import ipaddress


def host_port(host: object, port: object) -> str:
    """``host:port``; an IPv6 address in brackets and in its shortest form, so that two texts of one address are equal."""
    text = str(host).strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return f"{text}:{port}"
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
