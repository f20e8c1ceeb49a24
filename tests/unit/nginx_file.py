# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of nginx with two upstreams, in which not every ``server`` and ``down`` is one."""

from __future__ import annotations

TEXT = """\
# upstream app { server 10.9.9.9:80 down; }
upstream web {
    server 10.0.0.1:80;
}
upstream  app{
    least_conn;
    server 10.0.0.1:80 weight=5  max_fails=0;
    server 10.0.0.2:80;  # down
    # server 10.0.0.9:80;
    server 10.0.0.3:80 down backup;
    keepalive 32;
}
server { listen 80; location / { proxy_pass http://app; } }
"""
