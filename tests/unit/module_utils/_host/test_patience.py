# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often, and for how long, a load balancer that does not answer is asked again."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.patience import Patience, UnavailableError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import LoadBalancerError
from fake_load_balancer import Time


class Asked:
    """Fails in these ways, one after the other, then answers."""

    def __init__(self, *errors):
        self.errors, self.count = list(errors), 0

    def __call__(self):
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def patient(seconds=20.0):
    time = Time()
    return Patience(seconds, time.clock.steady, time.sleep, lambda: 0.5), time


def away(**facts):
    return UnavailableError("lb1 does not answer", **facts)


def test_what_does_not_answer_is_asked_again_ever_more_rarely():
    patience, time = patient()
    asked = Asked(*(away() for _attempt in range(8)))
    assert patience.call(asked) == "answer" and asked.count == 9
    assert 2 < time.now - 100 < 8


def test_the_time_is_bounded_and_the_message_says_how_often_it_was_asked():
    patience, time = patient(5)
    asked = Asked(*(away() for _attempt in range(100)))
    with pytest.raises(UnavailableError, match=r"^lb1 does not answer \(asked \d+ times in 5 s\)$") as failed:
        patience.call(asked)
    assert time.now - 100 == 5 and f"asked {asked.count} times" in str(failed.value) and asked.count > 5


def test_one_that_did_not_answer_for_so_long_is_asked_once_until_it_does():
    patience, time = patient(5)
    with pytest.raises(UnavailableError):
        patience.call(Asked(*(away() for _attempt in range(100))))
    asked, before = Asked(away(), away()), time.now
    with pytest.raises(UnavailableError, match=r"^lb1 does not answer$"):
        patience.call(asked)
    assert asked.count == 1 and time.now == before
    assert patience.call(Asked()) == "answer"
    assert patience.call(Asked(away(), away())) == "answer"


def test_without_patience_it_is_asked_once():
    patience, _time = patient(0)
    asked = Asked(away())
    with pytest.raises(UnavailableError, match=r"^lb1 does not answer$"):
        patience.call(asked)
    assert asked.count == 1


def test_what_else_goes_wrong_goes_wrong_at_once():
    patience, _time = patient()
    asked = Asked(LoadBalancerError("no such backend"))
    with pytest.raises(LoadBalancerError, match="no such backend"):
        patience.call(asked)
    assert asked.count == 1


@pytest.mark.parametrize(("may_be_done", "attempts"), [(True, 1), (False, 3)])
def test_a_change_that_must_not_be_made_twice_is_asked_for_again_only_when_it_was_not_carried_out(may_be_done, attempts):
    patience, _time = patient()
    asked = Asked(away(may_be_done=False), away(may_be_done=may_be_done)) if not may_be_done else Asked(away(), away())
    if may_be_done:
        with pytest.raises(UnavailableError):
            patience.call(asked, may_repeat=False)
    else:
        assert patience.call(asked, may_repeat=False) == "answer"
    assert asked.count == attempts


def test_a_load_balancer_that_names_a_time_is_asked_then():
    patience, time = patient()
    assert patience.call(Asked(away(pause=7))) == "answer" and time.now - 100 == 7
    assert patience.call(Asked(away(pause=600))) == "answer" and time.now - 107 == 20
