# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop's answers: who answers which path and method, and what the client must send for it."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import release
from http11 import HttpError, Request, Response
from pool import DatabaseError
from store import Store

MAX_SLOW_MS = 3000
STREAMED_LINES = 1000
MAX_QUANTITY = 1000
MAX_ID = 2**31 - 1
HEALTH_SECONDS = 1.5
_NUMBER = re.compile(r"[0-9]{1,10}")


class Shop:
    """Answers requests for all tenants. `number` is the release's, `host` the server's name; `lame_duck` is a file that outlives the release."""

    def __init__(self, number: str, host: str, stores: dict[str, Store], lame_duck: Path = Path("lame_duck")) -> None:
        self.lame_duck = lame_duck
        self.number = number
        self.host = host
        self.stores = stores
        self.routes = [
            (re.compile(r"/healthz"), {"GET": self.healthz}),
            (re.compile(r"/ready"), {"GET": self.ready}),
            (re.compile(r"/lame-duck"), {"PUT": self.begin_lame_duck, "DELETE": self.end_lame_duck}),
            (re.compile(r"/version"), {"GET": self.version}),
            (re.compile(r"/products"), {"GET": self.products}),
            (re.compile(r"/slow"), {"GET": self.slow}),
            (re.compile(r"/stream"), {"GET": self.stream}),
            (re.compile(r"/orders"), {"POST": self.add_order}),
            (re.compile(r"/orders/count"), {"GET": self.count_orders}),
            (re.compile(r"/orders/([0-9]{1,10})"), {"GET": self.order}),
        ]

    async def answer(self, request: Request) -> Response:
        """Find who answers, and let it; a database that does not is the client's 503."""
        for pattern, methods in self.routes:
            match = pattern.fullmatch(request.path)
            if match:
                handler = methods.get("GET" if request.method == "HEAD" else request.method)
                if handler is None:
                    raise HttpError(405, f"{request.path} does not answer {request.method}", {"Allow": _allowed(methods)})
                try:
                    return await handler(request, *match.groups())
                except DatabaseError as error:
                    raise HttpError(503, f"database: {error}", {"Retry-After": "1"}) from error
        raise HttpError(404, f"nothing answers {request.path}")

    async def healthz(self, _request: Request) -> Response:
        """Healthy means: every tenant's database answers, and has what this release needs."""
        about = {"release": self.number, "host": self.host}
        problem = await self._problem()
        if problem:
            return Response(503, {"status": "failing", **about, "error": problem})
        return Response(200, {"status": "ok", **about})

    async def ready(self, request: Request) -> Response:
        """What a load balancer asks that nobody else can drive: healthy, and not a lame duck, which goes on serving those that still come."""
        if self.lame_duck.exists():
            return Response(404, {"status": "lame duck", "release": self.number, "host": self.host})
        return await self.healthz(request)

    async def begin_lame_duck(self, _request: Request) -> Response:
        self.lame_duck.touch()
        return Response(200, {"lame_duck": True})

    async def end_lame_duck(self, _request: Request) -> Response:
        self.lame_duck.unlink(missing_ok=True)
        return Response(200, {"lame_duck": False})

    async def _problem(self) -> str:
        for tenant, store in self.stores.items():
            try:
                await asyncio.wait_for(store.check(), HEALTH_SECONDS)
            except DatabaseError as error:
                return f"tenant {tenant}: {error}"
            except TimeoutError:
                return f"tenant {tenant}: the database did not answer within {HEALTH_SECONDS} s"
        return ""

    async def version(self, _request: Request) -> Response:
        return Response(200, {"release": self.number, "host": self.host})

    async def products(self, request: Request) -> Response:
        tenant, store = self._tenant(request)
        after = _number(request, "after", default=0, most=MAX_ID)
        return Response(200, {"tenant": tenant, "products": await store.products(after), "release": self.number})

    async def slow(self, request: Request) -> Response:
        milliseconds = _number(request, "ms", default=MAX_SLOW_MS, most=MAX_SLOW_MS)
        await asyncio.sleep(milliseconds / 1000)
        return Response(200, {"slept_ms": milliseconds, "release": self.number})

    async def stream(self, request: Request) -> Response:
        """Begins at once, and is whole only after so many milliseconds."""
        milliseconds = _number(request, "ms", default=MAX_SLOW_MS, most=MAX_SLOW_MS)
        return Response(200, {"streamed_ms": milliseconds, "release": self.number, "lines": ["another line"] * STREAMED_LINES}, seconds=milliseconds / 1000)

    async def add_order(self, request: Request) -> Response:
        tenant, store = self._tenant(request)
        wanted = _json_object(request.body)
        product = _integer(wanted, "product", MAX_ID)
        quantity = _integer(wanted, "quantity", MAX_QUANTITY)
        extras = _extras(wanted)
        number = await store.add_order(product, quantity, extras)
        if number is None:
            raise HttpError(404, f"tenant {tenant} sells no product {product}")
        return Response(201, {"order": number, "tenant": tenant, **extras, "release": self.number})

    async def count_orders(self, request: Request) -> Response:
        tenant, store = self._tenant(request)
        return Response(200, {"tenant": tenant, "count": await store.count_orders(), "release": self.number})

    async def order(self, request: Request, number: str) -> Response:
        tenant, store = self._tenant(request)
        found = await store.order(int(number)) if int(number) <= MAX_ID else None
        if found is None:
            raise HttpError(404, f"tenant {tenant} has no order {number}")
        return Response(200, {"tenant": tenant, "order": found, "release": self.number})

    def _tenant(self, request: Request) -> tuple[str, Store]:
        tenants = ", ".join(sorted(self.stores))
        tenant = request.query.get("tenant", "")
        if not tenant:
            raise HttpError(400, f"tenant is missing: give one of {tenants}, for example ?tenant={min(self.stores)}")
        if tenant not in self.stores:
            raise HttpError(404, f"there is no tenant {tenant!r}: give one of {tenants}")
        return tenant, self.stores[tenant]


def _allowed(methods: dict) -> str:
    return ", ".join([*methods, "HEAD"] if "GET" in methods else methods)


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not _NUMBER.fullmatch(text) or int(text) > most:
        raise HttpError(400, f"{name} is {text!r}: give a number from 0 to {most}")
    return int(text)


def _json_object(body: bytes) -> dict:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HttpError(400, 'the body is not JSON: send for example {"product": 1, "quantity": 2}') from error
    if not isinstance(content, dict):
        raise HttpError(400, 'the body is not a JSON object: send for example {"product": 1, "quantity": 2}')
    return content


def _integer(content: dict, name: str, most: int) -> int:
    value = content.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise HttpError(400, f"{name} is {value!r}: give an integer from 1 to {most}")
    return value


def _extras(content: dict) -> dict:
    """The columns that only newer releases know, each from the body or by default."""
    extras = {}
    for name, (pattern, default) in release.ORDER_EXTRAS.items():
        value = content.get(name, default)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise HttpError(400, f"{name} is {value!r}: give text like {default!r}")
        extras[name] = value
    return extras
