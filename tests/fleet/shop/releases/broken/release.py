# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release 2.0.2 as a worse day delivers it: it starts, it is healthy, and whoever asks for its products gets an error."""

from __future__ import annotations

PRODUCT_COLUMNS = ("id", "name", "price_cents")
PRODUCTS_SHOWN = "id / (id - id) = 0"
ORDER_COLUMNS = ("id", "product", "quantity", "total_cents", "currency")
# Column: (what its text looks like, what it is when the client does not say).
ORDER_EXTRAS: dict[str, tuple[str, str]] = {"currency": ("[A-Z]{3}", "EUR")}
