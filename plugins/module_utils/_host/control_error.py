# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors of programs that are controlled while they run: load balancers, Patroni, and the files that configure them."""

from __future__ import annotations


class ControlError(Exception):
    """A program was not reachable, or its answer was not as expected. The message names it and its endpoint."""


class UntouchedError(ControlError):
    """A change that was given up before anything was changed."""
