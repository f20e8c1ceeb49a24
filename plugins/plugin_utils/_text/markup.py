# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Markup that is escaped unless it is marked as safe.

``element("p", "1 < 2")`` is ``<p>1 &lt; 2</p>``: a plain string is data and is escaped; only a ``Markup`` passes as it is.
What comes out is well-formed XML and valid inside an HTML page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup, escape as _escape

# What XML forbids, lone surrogates (no file can hold them), and the marks that turn the direction of the text after them.
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_WITHOUT_CONTENT = frozenset({"br", "circle", "col", "line", "meta", "path", "polyline", "rect"})


def printable(value: object) -> str:
    """The value as text, with what a page cannot hold replaced by the replacement character."""
    return UNPRINTABLE.sub("\ufffd", str(value))


def escape(value: object) -> Markup:
    """The value as markup: ``Markup`` stays, None is nothing, everything else is escaped text."""
    if isinstance(value, Markup):
        return value
    return Markup("") if value is None else _escape(printable(value))


def join(parts: Iterable[object], between: object = "") -> Markup:
    """The parts one after the other, each escaped unless it is markup."""
    return escape(between).join(map(escape, parts))


def element(tag: str, /, *children: object, **attributes: object) -> Markup:
    """One element with its children and attributes.

    In an attribute's name ``_`` stands for ``-`` and a ``_`` at the end is dropped (``class_``, ``stroke_width``).
    An attribute that is None is left out; a float is written with two decimals at most.
    """
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"' for key, value in attributes.items() if value is not None)
    if tag in _WITHOUT_CONTENT and not children:
        return Markup(f"<{tag}{written}/>")
    return Markup(f"<{tag}{written}>{join(children)}</{tag}>")


def _short(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
