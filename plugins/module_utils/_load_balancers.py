# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the load balancers of the option `load_balancers`, each by its kind. A kind is loaded when it is asked for."""

from __future__ import annotations

import functools
import os
import traceback
from dataclasses import replace
from typing import Any, Callable, Mapping, Sequence

from ._host.credentials import shown_url
from ._host.patience import Patience
from ._traffic.interface import HAPROXY, LoadBalancer, LoadBalancerError, View, require_distinct
from ._traffic.listeners import Listeners

# What comes of an answer that has another shape than its kind's: a list for a dictionary, a text for a number, a name that is missing, too deep.
SHAPES = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError)
SHOWN_CHARACTERS = 200
HAPROXY_ONLY = ("master_endpoint", "state_file")


def open_load_balancers(specs: Sequence[Mapping[str, Any]], patience_seconds: float | None = None) -> list[LoadBalancer]:
    """The load balancers; raise LoadBalancerError when one is given twice, or has an endpoint or a setting that its kind has not.

    :param specs: each ``{name, endpoint}``, with ``kind``, ``settings``, ``headers``, ``master_endpoint`` and ``state_file`` where they are given.
    :param patience_seconds: for how long one that does not answer is asked again, see `Patience`.
    """
    require_distinct(specs)
    balancers = [open_load_balancer(spec, patience_seconds) for spec in specs]
    listeners = Listeners(balancer.endpoint for balancer in balancers)
    for balancer in balancers:
        balancer.read = _with_sharers(balancer, listeners)
    return balancers


def _with_sharers(balancer: LoadBalancer, listeners: Listeners) -> Callable[..., View]:
    """What reads a load balancer, with a refusal for each of its ports at which another process takes requests, too."""
    read = balancer.read

    @functools.wraps(read)
    def call(backend: str | None = None) -> View:
        view = read(backend)
        told = listeners.refusals(balancer.endpoint)
        return replace(view, backends={name: replace(pool, refusals=(*pool.refusals, *told)) for name, pool in view.backends.items()}) if told else view

    return call


def open_load_balancer(spec: Mapping[str, Any], patience_seconds: float | None = None) -> LoadBalancer:
    """One of them. Whatever it answers, an error is one in words."""
    balancer = _open(spec, patience_seconds)
    for method in ("read", "apply", "command"):
        setattr(balancer, method, _in_words(balancer, getattr(balancer, method)))
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
                f"{balancer.name} ({shown_url(balancer.endpoint)}) answers otherwise than a load balancer of its kind does: {type(error).__name__} "
                f"{ascii(str(error))[:SHOWN_CHARACTERS]} ({'/'.join(place.filename.split(os.sep)[-2:])}:{place.lineno}). "
                "Is this its own API, and of a release that docs/load_balancers.md names?"
            ) from error

    return call


def _open(spec: Mapping[str, Any], patience_seconds: float | None) -> LoadBalancer:
    kind = spec.get("kind") or HAPROXY
    if kind not in _CLASSES:
        raise LoadBalancerError(f"{spec['name']} is of kind {kind!r}: choose one of {', '.join(_CLASSES)}")
    foreign = [key for key in (("settings", "headers") if kind == HAPROXY else HAPROXY_ONLY) if spec.get(key)]
    if foreign:
        raise LoadBalancerError(f"{spec['name']} has {', '.join(foreign)}, which kind={kind} has not")
    patience = Patience(patience_seconds)
    if kind == HAPROXY:
        return _haproxy()(spec["name"], spec["endpoint"], spec.get("master_endpoint"), spec.get("state_file"), patience=patience)
    return _CLASSES[kind]()(spec["name"], spec["endpoint"], spec.get("settings") or {}, spec.get("headers") or {}, patience=patience)


def _haproxy() -> type:
    from ._traffic.kinds.haproxy.balancer import Haproxy

    return Haproxy


def _envoy() -> type:
    from ._traffic.kinds.envoy.balancer import Envoy

    return Envoy


def _caddy() -> type:
    from ._traffic.kinds.caddy.balancer import Caddy

    return Caddy


def _traefik() -> type:
    from ._traffic.kinds.traefik import Traefik

    return Traefik


def _nginx() -> type:
    from ._traffic.kinds.nginx.balancer import Nginx

    return Nginx


def _nginx_plus() -> type:
    from ._traffic.kinds.http_api import NginxPlus

    return NginxPlus


def _http() -> type:
    from ._traffic.kinds.http_api import HttpApi

    return HttpApi


def _none() -> type:
    from ._traffic.kinds.health_switch import LameDuck

    return LameDuck


# The imports are in functions so that a module compiles what its load balancers need; they are spelt out so that Ansible ships the files.
_CLASSES: dict[str, Callable[[], type]] = {
    HAPROXY: _haproxy, "envoy": _envoy, "caddy": _caddy, "traefik": _traefik, "nginx": _nginx, "nginx_plus": _nginx_plus, "http": _http, "none": _none,
}
