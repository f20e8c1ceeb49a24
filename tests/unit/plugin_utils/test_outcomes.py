# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils.outcomes import or_nobody


@pytest.mark.parametrize(("hosts", "pattern"), [(["app1", "app2"], ["app1", "app2"]), ([], ["localhost", "!localhost"])])
def test_a_play_without_hosts_runs_on_none(hosts, pattern):
    assert or_nobody(hosts) == pattern
