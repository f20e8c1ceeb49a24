# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.alwayson.upgrade.plugins.module_utils._release.last_upgrade import read_seconds


@pytest.mark.parametrize(("content", "seconds"), [
    ('{"seconds": 12.5, "release": "2.0.0"}', 12.5), ('{"seconds": 3}', 3.0), ('{"seconds": -1}', None), ('{"seconds": true}', None),
    ('{"seconds": NaN}', None), ('{"seconds": "5"}', None), ("{}", None), ("[1]", None), ("", None), ('{"seconds": 1' + " " * 5000 + "}", None),
])
def test_what_a_host_keeps_is_read_with_care(tmp_path, content, seconds):
    (tmp_path / ".last_upgrade.json").write_text(content, encoding="utf-8")
    assert read_seconds(str(tmp_path)) == seconds


def test_a_host_without_a_record_has_none(tmp_path):
    assert read_seconds(str(tmp_path)) is None
