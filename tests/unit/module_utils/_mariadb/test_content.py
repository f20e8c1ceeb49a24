# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._mariadb import content

PLAIN = "CREATE TABLE `t` (\n  `id` int(11) NOT NULL COMMENT 'WITH SYSTEM VERSIONING'\n) ENGINE=InnoDB AUTO_INCREMENT=7"
IMPLICIT = "CREATE TABLE `t` (\n  `f` float DEFAULT NULL\n) ENGINE=InnoDB WITH SYSTEM VERSIONING"
PARTED = IMPLICIT + "\n PARTITION BY SYSTEM_TIME \n(PARTITION `h` HISTORY ENGINE = InnoDB)"
EXPLICIT = ("CREATE TABLE `t` (\n  `s` timestamp(6) GENERATED ALWAYS AS ROW START,\n  `e` timestamp(6) GENERATED ALWAYS AS ROW END,\n"
            "  PERIOD FOR SYSTEM_TIME (`s`, `e`)\n) ENGINE=InnoDB WITH SYSTEM VERSIONING")
NUMBERED = EXPLICIT.replace("timestamp(6)", "bigint(20) unsigned")


class Session:
    """Answers what a table is read by."""

    database = "shop"

    def __init__(self, *columns):
        self.columns, self.asked = columns, []

    def rows(self, statement, parameters=None):
        if parameters:
            return list(self.columns)
        self.asked.append(statement)
        return [(2, 5)]


@pytest.mark.parametrize(("created", "versioned", "by_transaction"), [
    (PLAIN, False, False), (IMPLICIT, True, False), (PARTED, True, False), (EXPLICIT, True, False), (NUMBERED, True, True)])
def test_what_keeps_a_history(created, versioned, by_transaction):
    assert (content.is_versioned(created), content.has_history_by_transaction(created)) == (versioned, by_transaction)


@pytest.mark.parametrize(("created", "wanted"), [
    (PLAIN, "FROM `shop`.`t`"), (IMPLICIT, "FROM `shop`.`t` FOR SYSTEM_TIME ALL"), (EXPLICIT, "FROM `shop`.`t` FOR SYSTEM_TIME ALL")])
def test_former_versions_of_rows_are_summed_up_too(created, wanted):
    session = Session(("id", "int"))
    assert content._table(session, "t", created) == {"rows": 2, "sum": "5"}
    assert session.asked[0].endswith(wanted) and ("ROW_START" in session.asked[0]) is (created is IMPLICIT)


def test_a_float_is_compared_exactly():
    session = Session(("f", "float"), ("d", "double"))
    content._table(session, "t", PLAIN)
    assert "MD5(CAST(`f` AS DOUBLE))" in session.asked[0] and "MD5(`d`)" in session.asked[0]
