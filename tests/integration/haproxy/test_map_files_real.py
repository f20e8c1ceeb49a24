# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of maps and ACLs with anything in them: what we read in them is what a real HAProxy has read, and what we write is what it reads."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.config_file import text_of
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.interface import LoadBalancerError
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy import pattern_files as files
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.balancer import Haproxy
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.haproxy.map import text_with
from fleet.haproxy import find_binary
from integration.haproxy.real_pool import CELLAR, until
from integration.haproxy.real_processes import RealProcesses

SEED, COUNT = 16, 60
PIECES = ["a", "key", "active", "blue", " ", " ", "\t", "#", "\n", "\n", "\r\n", "\r", "\x0b", "\x0c", "\u00a0", "\u2028", "\x85", "\u00fc", "\\", ";", "\"",
          "\ufeff"]
CONFIGURATION = """\
global
  nbthread 1
  stats socket {folder}/s level admin
defaults
  mode http
  timeout connect 2s
  timeout client 9s
  timeout server 9s
frontend users
  bind unix@{folder}/front
{rules}
  default_backend app
backend app
  server a 127.0.0.1:9
"""


class Reader(RealProcesses):
    """One that has read all of them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.balancer = Haproxy("lb", f"unix:{folder}/s")
        self.texts: dict[Path, str] = {}

    def start(self) -> None:
        chance = random.Random(SEED)
        for number in range(COUNT):
            text = "".join(chance.choices(PIECES, k=chance.randrange(60)))
            self.texts[self.folder / f"{number}.acl"] = text
            for name, content in ((f"{number}.map", text), (f"{number}-written.map", text_with(text, "active", "green"))):
                self.texts[self.folder / name] = content
        for path, text in self.texts.items():
            path.write_bytes(text.encode("utf-8"))
        rules = [f"  http-request deny if {{ path -f {path} }}" if path.suffix == ".acl" else f"  http-request set-var(txn.x) str(k),map({path})"
                 for path in self.texts]
        configuration = self.folder / "h.cfg"
        configuration.write_text(CONFIGURATION.format(folder=self.folder, rules="\n".join(rules)), encoding="utf-8")
        self.spawn("lb", [*find_binary(configuration, CELLAR), "-db", "-f", str(configuration)])
        until(self.answers)

    def answers(self) -> bool:
        try:
            return bool(self.balancer.ask_once("show info"))
        except LoadBalancerError:
            assert self.processes["lb"].poll() is None, (self.folder / "lb.log").read_text(encoding="utf-8", errors="replace")
            return False


@pytest.fixture(scope="module", name="reader")
def _reader(tmp_path_factory):
    with Reader(tmp_path_factory.mktemp("mf")) as reader:
        yield reader


def test_what_is_read_is_what_haproxy_has_read(reader):
    wrong, entries = [], 0
    for path in reader.texts:
        kind = path.suffix[1:]
        parse, read = {"map": (files.parse_map, files.entries_of_map), "acl": (files.parse_acl, files.entries_of_acl)}[kind]
        has, says = parse(reader.balancer.ask(f"show {kind} {path}")), read(text_of(str(path)))
        entries += len(has)
        wrong += [(path.name, path.read_bytes(), has, says)] if has != says else []
    assert not wrong and entries > 2 * COUNT


def test_what_is_written_is_what_haproxy_reads(reader):
    for path in (path for path in reader.texts if path.name.endswith("-written.map")):
        assert files.parse_map(reader.balancer.ask(f"show map {path}"))["active"] == "green", path.read_bytes()
