-- Copyright (c) 2026 The alwayson.upgrade maintainers
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- alwayson: batch
-- The orders from before the column was there.
UPDATE orders SET channel = 'unknown' WHERE id IN (SELECT id FROM orders WHERE channel IS NULL ORDER BY id LIMIT 500);
