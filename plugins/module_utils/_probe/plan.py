# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the availability prober sends, to whom and when: decided before the first request, and pure.

Request number i is scheduled for i / rate seconds after the start, regardless of the requests before it. That is
what makes the prober open loop: a service that stalls cannot slow down those who ask it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple
from urllib.parse import urlsplit

KINDS = ("keepalive", "new", "sticky", "slow", "write")
DEFAULT_MIX = ({"kind": "keepalive", "share": 60}, {"kind": "new", "share": 20}, {"kind": "sticky", "share": 20})
MAX_RATE = 2000.0
MAX_REQUESTS = 5_000_000
MAX_PATTERN = 1000

MIX_SPEC = {
    "kind": {"type": "str", "required": True, "choices": list(KINDS)},
    "share": {"type": "int", "required": True},
    "path": {"type": "str", "default": "/"},
    "method": {"type": "str"},
    "body": {"type": "raw", "no_log": True},
    "status": {"type": "list", "elements": "int"},
    "expect_headers": {"type": "dict"},
    "contains": {"type": "str"},
    "expect": {"type": "dict"},
}
CAPACITY_SPEC = {
    "name": {"type": "str", "required": True},
    "endpoint": {"type": "str", "required": True},
    "backend": {"type": "str", "required": True},
    "optional": {"type": "bool", "default": False},
}
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PATH = re.compile(r"/[!-~]*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OWN_HEADERS = {"connection", "content-length", "transfer-encoding"}
_HEADER_VALUE = re.compile(r"[ -~\t]*")


class ProbeError(Exception):
    """The prober cannot carry out the request; the message names the thing and the next step."""


class Target(NamedTuple):
    """One address of the service's users: where to connect, and what to call it in the Host header."""

    url: str
    tls: bool
    host: str
    port: int
    authority: str
    base_path: str


class MixEntry(NamedTuple):
    """One kind of request: `share` is its weight in the mix, `statuses` what counts as an answer (empty: 200 to 399).

    `headers`, `contains` and `expect` are what an answer must say, see _probe.answer.
    """

    kind: str
    share: int
    path: str
    method: str
    body: bytes
    content_type: str
    statuses: frozenset[int]
    headers: Mapping[str, Any] = {}
    contains: str = ""
    expect: Mapping[str, Any] = {}


class CapacitySource(NamedTuple):
    """A load balancer's runtime API, and the backend whose live servers are counted there."""

    name: str
    endpoint: str
    backend: str
    optional: bool = False


def has_runtime_api(endpoint: str) -> bool:
    """Whether live servers can be counted at an endpoint: by HAProxy's runtime API, at ``tcp://host:port`` or ``unix:/path``."""
    return endpoint.startswith(("tcp://", "unix:/"))


class Seat(NamedTuple):
    """Which logical client sends a request: the entry of the mix, and the client's number within that entry."""

    entry: int
    client: int


@dataclass(frozen=True)
class Plan:
    """The validated options of the prober. Times are seconds, `rate` is requests per second in total."""

    targets: tuple[Target, ...]
    mix: tuple[MixEntry, ...]
    rate: float
    clients_per_target: int = 10
    objective: float = 5.0
    max_seconds: float = 3600.0
    max_requests: int = MAX_REQUESTS
    headers: Mapping[str, str] = field(default_factory=dict)
    version_header: str = "X-Release"
    version_key: str | None = None
    version_pattern: re.Pattern[str] | None = None
    towards: str | None = None
    validate_certs: bool = True
    capacity: tuple[CapacitySource, ...] = ()
    # From the shares of the mix: the entry of each request in turn, its place among those of its entry, and how many each entry has.
    _pattern: Sequence[int] = field(init=False, repr=False, compare=False)
    _places: Sequence[int] = field(init=False, repr=False, compare=False)
    _turns: Sequence[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pattern = mix_pattern([entry.share for entry in self.mix])
        object.__setattr__(self, "_pattern", pattern)
        object.__setattr__(self, "_places", _places_in_pattern(pattern))
        object.__setattr__(self, "_turns", [pattern.count(entry) for entry in range(len(self.mix))])

    @property
    def clients_per_entry(self) -> int:
        """Logical clients of each entry of the mix: the same number for every target."""
        return len(self.targets) * self.clients_per_target

    @property
    def clients(self) -> int:
        """Logical clients in total. Each keeps to one target and to one entry of the mix."""
        return len(self.mix) * self.clients_per_entry

    @property
    def kinds_in_turn(self) -> tuple[str, ...]:
        """The kinds of the first requests; from there on they repeat in the same order."""
        return tuple(self.mix[entry].kind for entry in self._pattern)

    def seat_of(self, index: int) -> Seat:
        """The logical client that sends request `index`: within an entry they take turns, and so do the targets."""
        cycle, position = divmod(index, len(self._pattern))
        entry = self._pattern[position]
        return Seat(entry, (cycle * self._turns[entry] + self._places[position]) % self.clients_per_entry)

    def target_of(self, seat: Seat) -> Target:
        """The one target that this logical client uses."""
        return self.targets[seat.client % len(self.targets)]


class Pacer:
    """Says which requests are due. Times are seconds since the start; the caller owns the clock."""

    def __init__(self, rate: float, max_requests: int, max_seconds: float) -> None:
        self.rate = rate
        self.limit = min(max_requests, max(1, math.ceil(max_seconds * rate)))
        self.issued = 0

    def due(self, now: float, most: int) -> range:
        """Issue the numbers of the requests that are due, at most `most` of them at once."""
        first = self.issued
        self.issued = max(first, min(self.limit, first + most, int(now * self.rate) + 1))
        return range(first, self.issued)

    def next_at(self) -> float | None:
        """When the next request is due; None when there will be none."""
        return None if self.issued >= self.limit else self.issued / self.rate

    def stop(self) -> None:
        """Issue nothing any more."""
        self.limit = self.issued


def first_request_of_second(second: int, rate: float) -> int:
    """The number of the first request that is meant for this second after the start, or for a later one."""
    index = max(0, math.ceil(second * rate))
    while index and int((index - 1) / rate) >= second:
        index -= 1
    while int(index / rate) < second:
        index += 1
    return index


def mix_pattern(shares: Sequence[int]) -> tuple[int, ...]:
    """Spread the entries of a mix as evenly as they go (smooth weighted round robin); the pattern is then repeated."""
    divisor = reduce(math.gcd, shares)
    weights = [share // divisor for share in shares]
    total = sum(weights)
    if total > MAX_PATTERN:
        raise ProbeError(f"the shares of the mix add up to {total} parts: use coarser shares, at most {MAX_PATTERN} parts")
    credit = [0] * len(weights)
    pattern = []
    for _turn in range(total):
        credit = [have + weight for have, weight in zip(credit, weights)]
        chosen = credit.index(max(credit))
        credit[chosen] -= total
        pattern.append(chosen)
    return tuple(pattern)


def parse_target(url: str) -> Target:
    """Read a front URL such as ``http://127.0.0.10:8080``; a path in it is put before the paths of the mix."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError as error:
        raise ProbeError(f"target {url!r} is no URL: {error}") from None
    if port is None or not parts.hostname:
        raise ProbeError(f"target {url!r} is no http or https URL: write it like http://shop.example.com:8080")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ProbeError(f"target {url!r} has a user, a query or a fragment: put credentials into headers, queries into the mix")
    base_path = parts.path.rstrip("/")
    if base_path and not _PATH.fullmatch(base_path):
        raise ProbeError(f"target {url!r} has a path with white space or other characters to be percent-encoded")
    return Target(url, parts.scheme == "https", parts.hostname, port, parts.netloc, base_path)


def parse_mix_entry(entry: Mapping[str, Any]) -> MixEntry:
    """Read ``{kind, share, path, method, body, status}``. A body that is no text is sent as JSON."""
    kind, share, path = entry["kind"], entry.get("share") or 0, entry.get("path") or "/"
    if kind not in KINDS:
        raise ProbeError(f"the mix has the kind {kind!r}: the kinds are {', '.join(KINDS)}")
    if share < 1:
        raise ProbeError(f"the share of {kind} is {share}: give a positive whole number, or leave the entry out")
    if not _PATH.fullmatch(path):
        raise ProbeError(f"the path {path!r} of {kind} must begin with / and be percent-encoded")
    method = entry.get("method") or ("POST" if kind == "write" else "GET")
    if not _TOKEN.fullmatch(method):
        raise ProbeError(f"the method {method!r} of {kind} is no HTTP method")
    body, content_type = _encode_body(entry.get("body"))
    return MixEntry(kind, share, path, method.upper(), body, content_type, frozenset(entry.get("status") or ()),
                    entry.get("expect_headers") or {}, entry.get("contains") or "", entry.get("expect") or {})


def make_plan(settings: Mapping[str, Any]) -> Plan:
    """Turn the module's parameters, or a dict of the same names, into a checked Plan; raise ProbeError when they are no plan."""
    rate = float(settings["rate"])
    if not 0 < rate <= MAX_RATE:
        raise ProbeError(f"rate is {rate:g}: it must be above 0 and at most {MAX_RATE:g} requests per second")
    if not settings.get("targets"):
        raise ProbeError("targets is empty: give the front URL of each load balancer")
    return Plan(
        targets=tuple(parse_target(url) for url in settings["targets"]),
        mix=tuple(parse_mix_entry(entry) for entry in settings.get("mix") or DEFAULT_MIX),
        rate=rate,
        clients_per_target=_between("clients_per_target", settings["clients_per_target"], 1, 1000),
        objective=_between("objective_seconds", settings["objective_seconds"], 0.05, 300),
        max_seconds=_between("max_seconds", settings["max_seconds"], 1, 86_400),
        max_requests=_between("max_requests", settings["max_requests"], 1, MAX_REQUESTS),
        headers=_checked_headers(settings.get("headers") or {}),
        version_header=settings.get("version_header") or "X-Release",
        version_key=settings.get("version_key"),
        version_pattern=_checked_pattern(settings.get("version_pattern")),
        towards=settings.get("towards"),
        validate_certs=settings.get("validate_certs", True),
        capacity=_checked_capacity(settings.get("capacity") or ()),
    )


def _checked_pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ProbeError(f"version_pattern is {text!r}, which is no regular expression: {error}") from error
    if not pattern.groups:
        raise ProbeError(f"version_pattern is {text!r}, which has no group: its first group is the release")
    return pattern


def _between(name: str, value: Any, least: float, most: float) -> Any:
    if not least <= value <= most:
        raise ProbeError(f"{name} is {value:g}: it must be between {least:g} and {most:g}")
    return value


def _encode_body(body: Any) -> tuple[bytes, str]:
    if body is None or body == "":
        return b"", ""
    if isinstance(body, str):
        return body.encode("utf-8"), "text/plain; charset=utf-8"
    return json.dumps(body).encode("utf-8"), "application/json"


def _checked_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not _HEADER_VALUE.fullmatch(str(value)):
            raise ProbeError(f"the header {name!r} has characters that HTTP does not allow")
        if name.lower() in _OWN_HEADERS:
            raise ProbeError(f"the header {name!r} belongs to the prober: leave it out")
    return {name: str(value) for name, value in headers.items()}


def _checked_capacity(sources: Sequence[Mapping[str, str]]) -> tuple[CapacitySource, ...]:
    checked = tuple(CapacitySource(source["name"], source["endpoint"], source["backend"], bool(source.get("optional"))) for source in sources)
    if len({source.name for source in checked}) < len(checked) or any(source.name == "t" for source in checked):
        raise ProbeError("each entry of capacity needs a name of its own, and none may be called t: that is the time of a sample")
    return checked


def _places_in_pattern(pattern: Sequence[int]) -> tuple[int, ...]:
    """For each position, how many times its entry came before in the pattern."""
    seen: dict[int, int] = {}
    places = []
    for entry in pattern:
        places.append(seen.get(entry, 0))
        seen[entry] = places[-1] + 1
    return tuple(places)
