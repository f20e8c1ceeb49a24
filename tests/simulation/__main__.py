# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""So that ``python -m simulation`` works in tests/, without installing the collection."""

from __future__ import annotations

import sys

from unit.conftest import link_collection

link_collection()

from simulation.cli import main  # it imports the collection

sys.exit(main())
