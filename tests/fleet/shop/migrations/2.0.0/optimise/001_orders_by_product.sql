-- Copyright (c) 2026 The alwayson.upgrade maintainers
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- alwayson: concurrently
-- Reports on a product read its orders by time.
CREATE INDEX CONCURRENTLY orders_by_product ON orders (product, taken);
