# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""So that `python -m fleet` works where tests/ is on the path."""

from __future__ import annotations

import sys

from fleet.cli import main

sys.exit(main())
