# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of the kinds of load balancers, and what opens those of the option `load_balancers`.

A new kind is one file, which implements `_traffic.interface.LoadBalancer`, and one entry in `KINDS`.
"""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Callable

from ._host.credentials import shown_url
from ._host.patience import Patience
from ._traffic.interface import LoadBalancer, LoadBalancerError, View, require_distinct
from ._traffic.listeners import Listeners


def _haproxy() -> type[LoadBalancer]:
    from ._traffic.kinds.haproxy.balancer import Haproxy

    return Haproxy


def _envoy() -> type[LoadBalancer]:
    from ._traffic.kinds.envoy.balancer import Envoy

    return Envoy


def _caddy() -> type[LoadBalancer]:
    from ._traffic.kinds.caddy.balancer import Caddy

    return Caddy


def _traefik() -> type[LoadBalancer]:
    from ._traffic.kinds.traefik import Traefik

    return Traefik


def _nginx() -> type[LoadBalancer]:
    from ._traffic.kinds.nginx.balancer import Nginx

    return Nginx


def _nginx_plus() -> type[LoadBalancer]:
    from ._traffic.kinds.http_api import NginxPlus

    return NginxPlus


def _http() -> type[LoadBalancer]:
    from ._traffic.kinds.http_api import HttpApi

    return HttpApi


def _none() -> type[LoadBalancer]:
    from ._traffic.kinds.health_switch import LameDuck

    return LameDuck


# Each kind by its name, the default first. The imports are in functions so that a module compiles the kinds that it drives and no other;
# they are spelt out because Ansible copies the files to a host that it finds in import statements.
KINDS: dict[str, Callable[[], type[LoadBalancer]]] = {
    "haproxy": _haproxy,
    "envoy": _envoy,
    "caddy": _caddy,
    "traefik": _traefik,
    "nginx": _nginx,
    "nginx_plus": _nginx_plus,
    "http": _http,
    "none": _none,
}
DEFAULT_KIND = next(iter(KINDS))

# What an entry of `load_balancers` may have besides its name, kind and endpoint: each kind names those that it has, see `LoadBalancer.options`.
OPTIONS: dict[str, dict[str, Any]] = {
    "settings": {"type": "dict", "default": {}},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "master_endpoint": {"type": "str"},
    "state_file": {"type": "path"},
}
# The options of the doc fragment `load_balancers`.
ARGUMENTS = {
    "load_balancers": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "kind": {"type": "str", "choices": list(KINDS), "default": DEFAULT_KIND},
            "endpoint": {"type": "str", "required": True},
            **OPTIONS,
        },
    },
}

# What comes of an answer that has another shape than its kind's: a list for a dictionary, a text for a number, a name that is missing, too deep.
SHAPES = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)
SHOWN_CHARACTERS = 200


def open_load_balancers(specs: Sequence[Mapping[str, Any]], patience_seconds: float | None = None) -> list[LoadBalancer]:
    """The load balancers; raise LoadBalancerError when one is given twice, or has an endpoint or a setting that its kind has not.

    :param specs: each ``{name, endpoint}``, with ``kind``, ``settings``, ``headers``, ``master_endpoint`` and ``state_file`` where they are given.
    :param patience_seconds: how long requests are repeated to one that does not answer, see `Patience`.
    """
    require_distinct(specs)
    balancers = [open_load_balancer(spec, patience_seconds) for spec in specs]
    listeners = Listeners(balancer.endpoint for balancer in balancers)
    for balancer in balancers:
        _wrap(balancer, ("read",), functools.partial(_with_sharers, listeners))
    return balancers


def _wrap(balancer: LoadBalancer, methods: Sequence[str], wrapped: Callable[[LoadBalancer, Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put *wrapped* of it in place of each of these methods of one load balancer, which stays of its kind's class."""
    for name in methods:
        setattr(balancer, name, wrapped(balancer, getattr(balancer, name)))


def _with_sharers(listeners: Listeners, balancer: LoadBalancer, read: Callable[..., View]) -> Callable[..., View]:
    """What reads a load balancer, with a refusal for each of its ports at which another process takes requests, too."""
    @functools.wraps(read)
    def call(backend: str | None = None) -> View:
        view = read(backend)
        refusals = listeners.refusals(balancer.endpoint)
        return replace(view, backends={name: replace(pool, refusals=(*pool.refusals, *refusals)) for name, pool in view.backends.items()}) if refusals else view

    return call


def open_load_balancer(spec: Mapping[str, Any], patience_seconds: float | None = None) -> LoadBalancer:
    """One of them. Whatever it answers, an error is one in words."""
    balancer = _open(spec, patience_seconds)
    _wrap(balancer, ("read", "apply", "command"), _in_words)
    return balancer


def _in_words(balancer: LoadBalancer, method: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a load balancer, of which an answer of another shape than its kind's is an error that names it."""

    @functools.wraps(method)
    def call(*given: Any, **more: Any) -> Any:
        try:
            return method(*given, **more)
        except SHAPES as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise LoadBalancerError(
                f"{balancer.name} ({shown_url(balancer.endpoint)}) does not answer like a load balancer of its kind: {type(error).__name__} "
                f"{ascii(str(error))[:SHOWN_CHARACTERS]} ({'/'.join(place.filename.split(os.sep)[-2:])}:{place.lineno}). "
                "Is this its own API, and of a release that docs/load_balancers.md names?"
            ) from error

    return call


def _open(spec: Mapping[str, Any], patience_seconds: float | None) -> LoadBalancer:
    name = spec.get("kind") or DEFAULT_KIND
    if name not in KINDS:
        raise LoadBalancerError(f"{spec['name']} is of kind {name!r}: choose one of {', '.join(KINDS)}")
    kind = KINDS[name]()
    foreign = [option for option in OPTIONS if spec.get(option) and option not in kind.options]
    if foreign:
        raise LoadBalancerError(f"{spec['name']} has {', '.join(foreign)}, which kind={name} has not")
    given = {option: spec.get(option) or OPTIONS[option].get("default") for option in kind.options}
    return kind(spec["name"], spec["endpoint"], **given, patience=Patience(patience_seconds))
