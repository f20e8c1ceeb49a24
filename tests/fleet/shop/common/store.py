# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shop does with a tenant's database. Which columns it knows is the release's own: see release.py."""

from __future__ import annotations

import release
from pool import Pool

PAGE = 20


class Store:
    """One tenant's products and orders."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def check(self) -> None:
        """Raise DatabaseError unless the database has every table and column that this release needs."""
        await self._pool.read(_probe_sql("products", release.PRODUCT_COLUMNS))
        await self._pool.read(_probe_sql("orders", release.ORDER_COLUMNS))

    async def products(self, after: int) -> list[dict]:
        """The next products in stock behind the one with the id `after`."""
        rows = await self._pool.read(
            f"SELECT {', '.join(release.PRODUCT_COLUMNS)} FROM products WHERE {release.PRODUCTS_SHOWN} AND id > %s ORDER BY id LIMIT {PAGE}",
            (after,),
        )
        return [dict(zip(release.PRODUCT_COLUMNS, row)) for row in rows]

    async def add_order(self, product: int, quantity: int, extras: dict) -> int | None:
        """Store an order at today's price; return its id, None when there is no such product."""
        rows = await self._pool.write(
            f"INSERT INTO orders ({', '.join(('product', 'quantity', 'total_cents', *extras))})"
            f" SELECT id, %s, price_cents * %s {''.join(', %s' for _name in extras)} FROM products WHERE id = %s AND in_stock RETURNING id",
            (quantity, quantity, *extras.values(), product),
        )
        return rows[0][0] if rows else None

    async def order(self, number: int) -> dict | None:
        """One order, None when there is no such order."""
        rows = await self._pool.read(f"SELECT {', '.join(release.ORDER_COLUMNS)} FROM orders WHERE id = %s", (number,))
        return dict(zip(release.ORDER_COLUMNS, rows[0])) if rows else None

    async def count_orders(self) -> int:
        """How many orders there are."""
        return (await self._pool.read("SELECT count(*) FROM orders"))[0][0]


def _probe_sql(table: str, columns: tuple[str, ...]) -> str:
    """A statement that reads no row but fails unless table and columns exist."""
    return f"SELECT {', '.join(columns)} FROM {table} LIMIT 0"
