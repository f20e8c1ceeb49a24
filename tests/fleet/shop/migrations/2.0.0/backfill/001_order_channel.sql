-- Copyright (c) 2026 The alwayson.upgrade maintainers
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- alwayson: batch
-- The orders from before the column was there. They are locked as they are chosen: what the application commits meanwhile is not overwritten.
UPDATE orders SET channel = 'unknown'
 WHERE id IN (SELECT id FROM orders WHERE channel IS NULL ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED);
