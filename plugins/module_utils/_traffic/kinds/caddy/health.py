# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health of upstreams in Caddy's metrics. Pure.

Caddy writes the metric when it loads a configuration, with every upstream that it checks as a healthy one, and every ten seconds from then on. Each change of
a weight loads a configuration. Source: the gauge ``caddy_reverse_proxy_upstreams_healthy`` in ``/metrics`` of the administrative API.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from collections.abc import Collection, Mapping
from typing import NamedTuple

# How long after a load of the configuration the metric has results of checks since then: by then it was written for the second time.
NEWS_SECONDS = 11.0

_HEALTHY = re.compile(r'^caddy_reverse_proxy_upstreams_healthy\{upstream="((?:[^"\\]|\\.)*)"\} (\S+)', re.MULTILINE)
_LOADED = re.compile(r"^caddy_config_last_reload_success_timestamp_seconds (\S+)", re.MULTILINE)
_ESCAPED = re.compile(r"\\(.)")


class Metrics(NamedTuple):
    """Which addresses are healthy, and how many seconds before that report the configuration was loaded, None where that is not known."""

    healthy: Mapping[str, bool]
    age: float | None


def parse_metrics(text: str, date: str) -> Metrics:
    """The metrics in this text, which was sent at `date`, as HTTP's header has it: by Caddy's own clock, in whole seconds."""
    healthy = {_ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], name): float(value) > 0 for name, value in _HEALTHY.findall(text)}
    loaded = _LOADED.search(text)
    try:
        age = parsedate_to_datetime(date).timestamp() - float(loaded[1]) if loaded else None
    except (TypeError, ValueError):
        age = None
    return Metrics(healthy, age)


class KnownHealth:
    """What is known of the addresses after a number of looks."""

    def __init__(self) -> None:
        self._healthy: dict[str, bool] = {}
        self._reported: set[str] = set()
        self._has_news, self._unknown_for = False, 0.0

    def take(self, metrics: Metrics, out: Collection[str]) -> None:
        """Another look. Soon after a configuration was loaded an address counts as what it was before; nothing is kept of those that are `out`."""
        age = NEWS_SECONDS if metrics.age is None else metrics.age
        is_news = age >= NEWS_SECONDS
        before = {} if is_news else self._healthy
        self._has_news = self._has_news or is_news
        self._unknown_for = 0.0 if self._has_news else NEWS_SECONDS - max(0.0, age)
        # Caddy empties the metric before it writes it again.
        self._reported = {*metrics.healthy, *before}
        self._healthy = {name: metrics.healthy.get(name, True) and before.get(name, True) for name in self._reported.difference(out)}

    def is_reported(self, name: str) -> bool:
        """Whether there is a metric of an address."""
        return name in self._reported

    @property
    def unknown_for(self) -> float:
        """For how many seconds from the last look on it is not known which addresses had failed before the configuration was loaded."""
        return self._unknown_for

    def of(self, name: str) -> bool | None:
        """Whether an address is healthy, None when that is not reported, or nothing is kept of it."""
        return self._healthy.get(name)
