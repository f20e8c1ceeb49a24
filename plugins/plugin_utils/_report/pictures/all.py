# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a run as inline SVG. Each function takes a report (see ``report.summarise``) and a view, and returns a Picture, or None
when there is nothing to show; no picture needs a script, a font or anything else from outside.
"""

from __future__ import annotations

from .capacity import capacity
from .frame import Picture, View, room_for_names
from .latency import latency
from .members import members
from .restores import restores
from .style import STYLE
from .versions import versions

__all__ = ["PICTURES", "STYLE", "Picture", "View", "capacity", "latency", "members", "restores", "room_for_names", "standalone", "versions"]

PICTURES = {"latency": latency, "versions": versions, "capacity": capacity, "members": members, "restores": restores}


def standalone(picture: Picture) -> str:
    """The picture as the text of a standalone SVG file, which contains its colours."""
    opening, bracket, rest = picture.svg.partition(">")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{opening}{bracket}<style>{STYLE}</style>{rest}\n'
