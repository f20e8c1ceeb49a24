# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the fleet and the shop's modules importable from a plain clone."""

from __future__ import annotations

import sys
from pathlib import Path

FLEET = Path(__file__).resolve().parents[1]

sys.path.insert(0, str(FLEET.parent))

from foreground import hear_signals

hear_signals()

# Last: the shop's short module names must not hide anybody else's.
sys.path += [str(FLEET / "shop" / "common")]
