-- Copyright (c) 2026 The alwayson.upgrade maintainers
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later
-- Release 2.0.0 does not read the old product code any more. Release 1.0.0 does: there is no way back to it from here.
ALTER TABLE products DROP COLUMN legacy_code;
