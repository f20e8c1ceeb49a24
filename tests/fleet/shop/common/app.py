# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the shop: read the settings from the environment, serve, and end in good order on SIGTERM.

HOST_NAME      the server's name, as answered in X-Served-By
LISTEN         ADDRESS:PORT
TENANTS        JSON: the tenants, each with the connection string of its database
BOOT_SECONDS   optional: for how long it is busy with itself before it listens
SERVICE_READY  optional: a file that receives the process id as soon as requests are accepted
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from pathlib import Path

from pool import Pool
from server import Server
from shop import Shop
from store import Store

LOG = logging.getLogger("shop")
GRACE_SECONDS = 8
PARENT_CHECK_SECONDS = 1


async def serve() -> None:
    """Serve until SIGTERM or SIGINT, or until the supervisor is gone."""
    number = (Path(__file__).resolve().parent / "RELEASE").read_text(encoding="ascii").strip()
    host = os.environ["HOST_NAME"]
    address, _colon, port = os.environ["LISTEN"].rpartition(":")
    pools = {tenant: Pool(conninfo) for tenant, conninfo in json.loads(os.environ["TENANTS"]).items()}
    shop = Shop(number, host, {tenant: Store(pool) for tenant, pool in pools.items()})
    server = Server(shop.answer, {"X-Release": number, "X-Served-By": host})

    end = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, end.set)
    watch = asyncio.ensure_future(_end_with_parent(end))

    await asyncio.sleep(float(os.environ.get("BOOT_SECONDS", "0")))
    await server.start(address, int(port))
    LOG.info("release %s listens on %s:%s", number, address, port)
    _report_ready()
    await end.wait()
    watch.cancel()
    cut = await server.stop(GRACE_SECONDS)
    for pool in pools.values():
        await pool.close()
    LOG.info("release %s ends, %d requests cut", number, cut)


async def _end_with_parent(end: asyncio.Event) -> None:
    """A shop without a supervisor would hold its port for ever: end with it."""
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_CHECK_SECONDS)
    LOG.warning("the supervisor is gone")
    end.set()


def _report_ready() -> None:
    path = os.environ.get("SERVICE_READY")
    if path:
        Path(path).write_text(f"{os.getpid()}\n", encoding="ascii")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(serve())
