# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a run as inline SVG. Each function takes a report (see ``report.summarise``) and a view, and returns a Picture, or None
when there is nothing to show; no picture needs a script, a font or anything else from outside.
"""

from __future__ import annotations

from .picture_capacity import capacity
from .picture_frame import Picture, View, room_for_names
from .picture_latency import latency
from .picture_members import members
from .picture_restores import restores
from .picture_style import STYLE
from .picture_versions import versions

__all__ = ["PICTURES", "STYLE", "Picture", "View", "capacity", "latency", "members", "restores", "room_for_names", "standalone", "versions"]

PICTURES = {"latency": latency, "versions": versions, "capacity": capacity, "members": members, "restores": restores}


def standalone(picture: Picture) -> str:
    """The picture as the text of an SVG file of its own, with its colours in it."""
    opening, bracket, rest = picture.svg.partition(">")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{opening}{bracket}<style>{STYLE}</style>{rest}\n'
