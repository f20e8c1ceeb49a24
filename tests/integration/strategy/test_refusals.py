# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be honoured is refused before any host starts, with words that say what to do."""

from __future__ import annotations

import pytest
from integration.strategy.plays import COME


@pytest.mark.parametrize(("keywords", "variables", "words"), [
    ({"serial": 2}, {}, "replaces serial: remove serial from the play; rolling_max_unavailable, rolling_domain and rolling_expected_s decide who goes when"),
    ({"order": "sorted"}, {}, "replaces order"),
    ({"post_tasks": [{"ansible.builtin.meta": "end_batch"}]}, {}, "meta: end_batch cannot be honoured in a rolling play, which has no batches: use end_host"),
    ({}, {"rolling_max_unavailble": 2}, "rolling_max_unavailble is not a variable of a roll: did you mean rolling_max_unavailable?"),
    ({}, {"rolling_max_unavailable": "{{ 1 if zone == 'east' else 2 }}"}, "have different values of rolling_max_unavailable: 1 for w1 and 2 for w2"),
    ({}, {"rolling_domain": "{{ rack }}"}, "rolling_domain of w1 cannot be read: 'rack' is undefined"),
    ({}, {"rolling_pool_hosts": ["w1", "w9"]}, "rolling_pool_hosts names w9, which is not in the inventory"),
])
def test_what_cannot_be_honoured_is_refused_before_any_host_starts(play, keywords, variables, words):
    run = play([COME], keywords=keywords, variables=variables)
    assert run.code != 0 and run.log == [] and words in run.words, run.output


def test_variables_of_somebody_else_are_left_alone(play):
    """Not even templated: they may make sense elsewhere only."""
    run = play([COME], variables={"rolling_stone": "{{ nowhere }}", "rolling_restart_order": 3, "rolling_domain": "{{ rack | default(omit) }}"})
    assert run.code == 0 and len(run.came) == 6
