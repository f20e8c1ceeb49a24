# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all databases have in common: the error that each of them raises."""

from __future__ import annotations


class DatabaseError(Exception):
    """An error of a database or of the connection to it. Each engine has its own subclass."""
