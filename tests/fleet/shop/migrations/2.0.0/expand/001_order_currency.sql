-- Copyright (c) 2026 The alwayson.upgrade maintainers
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Release 2.0.0 takes orders in several currencies. A constant default touches no row, so this takes its lock for a moment only,
-- and release 1.0.0, which does not know the column, goes on writing orders.
ALTER TABLE orders ADD COLUMN currency char(3) NOT NULL DEFAULT 'EUR';
