# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The administrative API of a load balancer: JSON over HTTP, each answer bounded in time and size, each error with the load balancer's name.

A request that is not answered, or answered with 429 or 503, is sent again as `Patience` has it: one that may have arrived only when its method is
idempotent (RFC 9110), or when the caller says that it may arrive twice. What only reads is sent again after 500, 502 and 504, too.
"""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from collections.abc import Mapping
from typing import Any

from .control_error import ControlError
from .credentials import shown_url
from .foreign_json import ForeignJsonError, NotJsonError, parse
from .http import Answer, HttpError, Limits, NoAnswerError, Request, fetch, require_url
from .patience import Patience, UnavailableError

# Timeouts of a health check, and of an API whose requests are repeated, which may be busy.
ANSWER_SECONDS, PATIENT_ANSWER_SECONDS = 5.0, 30.0
ANSWER_BYTES = 32 * 1024 * 1024
IDEMPOTENT = ("GET", "HEAD", "PUT", "DELETE")
# Too many requests; it cannot answer now.
TOO_MANY = 429
BUSY = (TOO_MANY, 503)
# From a proxy in front of the API, or from an API that restarts: requests that only read are repeated.
READING, PASSING = ("GET", "HEAD"), (500, 502, 504)
BYTE_ORDER_MARK = "\ufeff"
_SHOWN = 200


class _BusyError(UnavailableError):
    """An answer that says to come later."""

    def __init__(self, answer: Answer) -> None:
        later = dict(answer.headers).get("retry-after")
        # One that names a time to come again has not done anything, nor one that counts requests.
        super().__init__("busy", may_be_done=later is None and answer.status != TOO_MANY, pause=pause_of(later, time.time()))
        self.answer = answer


class JsonApi:
    """One API.

    :param endpoint: its base, such as ``http://10.0.0.11:2019``.
    :param headers: sent with every request, for example a token.
    :param patience: how long a request is repeated when the API does not answer; by default it is sent once.
    """

    def __init__(self, name: str, endpoint: str, headers: Mapping[str, str] | None = None, validate_certs: bool = True,
                 patience: Patience | None = None) -> None:
        self.name = name
        self.endpoint = endpoint
        self._headers = {key: str(value) for key, value in (headers or {}).items()}
        self._patience = patience or Patience(0)
        self._limits = Limits(PATIENT_ANSWER_SECONDS if patience else ANSWER_SECONDS, ANSWER_BYTES, validate_certs)
        try:
            require_url(endpoint)
        except HttpError as error:
            raise self.error(f"is no endpoint: {error}") from error

    def get(self, path: str) -> Any:
        """What stands at a path."""
        return self.parse(path, self.ask("GET", path))

    def parse(self, path: str, answer: Answer) -> Any:
        """The JSON of a good answer."""
        if answer.status != 200:
            raise self.error(f"answers GET {path} with {answer.status}: {_shown(answer.body)}")
        try:
            return parse(answer.body.lstrip(BYTE_ORDER_MARK))
        except NotJsonError as error:
            raise self.error(f"answers GET {path} with what is no JSON: {_shown(answer.body)}") from error
        except ForeignJsonError as error:
            raise self.error(f"answers GET {path} with JSON that is not accepted, because {error}: {_shown(answer.body)}") from error

    def change(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> None:
        """Ask for a change; every answer but a good one is an error."""
        answer = self.ask(method, path, body, headers)
        if not 200 <= answer.status < 300:
            raise self.error(f"answers {method} {path} with {answer.status}: {_shown(answer.body)}")

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None, may_repeat: bool | None = None) -> Answer:
        """A request, with a body that becomes JSON, and whatever the answer is.

        :param may_repeat: whether it may arrive twice, by default as its method says.
        """
        content = None if body is None else json.dumps(body).encode("utf-8")
        sent = {**self._headers, **({"Content-Type": "application/json"} if content else {}), **(headers or {})}
        request = Request(method, self.endpoint.rstrip("/") + path, sent, content)
        try:
            answer = self._patience.call(lambda: self._ask_once(request, path), method in IDEMPOTENT if may_repeat is None else may_repeat)
        except _BusyError as busy:
            answer = busy.answer
        if answer.truncated:
            raise self.error(f"answers more than {ANSWER_BYTES} bytes to {method} {path}: is this its API?")
        return answer

    def _ask_once(self, request: Request, path: str) -> Answer:
        try:
            answer = fetch(request, self._limits)
        except NoAnswerError as error:
            raise UnavailableError(str(self.error(f"cannot be asked ({request.method} {path}): {error}. Is its API on there?")), error.is_sent) from error
        except HttpError as error:
            raise self.error(f"cannot be asked ({request.method} {path}): {error}. Is its API on there?") from error
        if answer.status in BUSY or (answer.status in PASSING and request.method in READING):
            raise _BusyError(answer)
        return answer

    def error(self, what: str) -> ControlError:
        """An error that names this load balancer."""
        return ControlError(f"{self.name} ({shown_url(self.endpoint)}) {what}")


def pause_of(later: str | None, now: float) -> float:
    """The seconds that a ``Retry-After`` asks to wait: it has a number of them, or a date (RFC 9110); 0 where it has neither.

    :param now: in epoch seconds.
    """
    if later and later.strip().isdecimal():
        return float(later)
    try:
        return max(0.0, parsedate_to_datetime(later or "").timestamp() - now)
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0


def _shown(body: str) -> str:
    return " ".join(body.split())[:_SHOWN] or "nothing"
