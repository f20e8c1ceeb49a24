# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small pool of connections to one tenant's database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg
from psycopg.pq import TransactionStatus

MAX_CONNECTIONS = 4
ACQUIRE_SECONDS = 5


class DatabaseError(Exception):
    """The database did not answer, or not with what was asked of it; `lost` when the session may be to blame."""

    def __init__(self, why: str, lost: bool = False) -> None:
        super().__init__(why)
        self.lost = lost


class Pool:
    """Connections are opened when they are needed, kept, and replaced when the server has closed them."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[psycopg.AsyncConnection] = []

    async def read(self, sql: str, parameters: Sequence | None = None) -> list[tuple]:
        """Run a statement that changes nothing; when its connection turns out dead, once more on a new one."""
        try:
            return await self._execute(sql, parameters)
        except DatabaseError as error:
            if not error.lost:
                raise
        self._drop_idle()
        return await self._execute(sql, parameters)

    async def write(self, sql: str, parameters: Sequence | None = None) -> list[tuple]:
        """Run a statement once, as a transaction of its own: nobody knows whether a lost one was carried out."""
        return await self._execute(sql, parameters)

    async def close(self) -> None:
        """Close what is idle; connections in use close when they come back."""
        while self._idle:
            await self._idle.pop().close()

    async def _execute(self, sql: str, parameters: Sequence | None) -> list[tuple]:
        try:
            await asyncio.wait_for(self._slots.acquire(), ACQUIRE_SECONDS)
        except TimeoutError as error:
            raise DatabaseError(f"no database connection was free within {ACQUIRE_SECONDS} s") from error
        connection = None
        try:
            connection = await self._connection()
            cursor = await connection.execute(sql, parameters)
            return await cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            why = str(error).strip().partition("\n")[0]
            raise DatabaseError(why, lost=isinstance(error, psycopg.OperationalError)) from error
        finally:
            if connection is not None:
                self._give_back(connection)
            self._slots.release()

    def _give_back(self, connection: psycopg.AsyncConnection) -> None:
        """Keep a session that waits for its next statement, also after a refused one; any other was lost or interrupted half-way."""
        if connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            connection.pgconn.finish()

    # A statement that one session has prepared is unknown to the next one that a pooler lends.
    async def _connection(self) -> psycopg.AsyncConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True, prepare_threshold=None)

    def _drop_idle(self) -> None:
        """The server closed one connection: it most likely closed all, and each would cost a request to find out."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.pgconn.finish()
