-- Copyright (c) 2026 The alwayson.upgrade maintainers
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Where an order came from. What is there stays without it until the backfill; what release 1.0.0 goes on writing gets the default, so the backfill ends.
ALTER TABLE orders ADD COLUMN channel text, ALTER COLUMN channel SET DEFAULT 'shop';
