# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet, and a way to run playbooks against it and to read what they did."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest
from fleet.demo import run_playbook, stop_probe
from fleet.embedded import EmbeddedFleet
from fleet.runs import Run
from integration.cores import LOUD, installed, unexpected_warnings

REPOSITORY = Path(__file__).resolve().parents[3]
PLUGINS = Path(__file__).parent / "plugins"
# Requests a second: two fleets and what drives them share a small machine, and starved health checks would be a fault of their own.
RATE = 40


class Operator:
    """Runs playbooks against one fleet, as a user would."""

    def __init__(self, fleet: EmbeddedFleet, core: Path | None = None) -> None:
        self.fleet = fleet
        self.core = core
        self.runs = 0

    def run(self, playbook: str, *, core: Path | None = None, collections: Path | None = None,
            environment: dict[str, str] | None = None, **variables: object) -> Run:
        """Run a playbook of the collection; variables are extra variables.

        :param core: another virtual environment's ansible-playbook; with the operator's own one no warning is left unexplained.
        :param collections: where the collection is installed, instead of this repository.
        :param environment: more variables for its environment.
        """
        self.runs += 1
        log = self.fleet.directory / f"run-{self.runs:02}-{playbook}.log"
        with log.open("w", encoding="utf-8") as output:
            program = core or self.core
            code = run_playbook(playbook, self.fleet.directory, {"demo_rate": RATE, **variables}, ansible_playbook=program and str(program), output=output,
                                environment={"ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS), **(LOUD if self.core else {}), **(environment or {}),
                                             **({"ANSIBLE_COLLECTIONS_PATH": str(collections)} if collections else {})})
        run = Run(code, log.read_text(encoding="utf-8"), self.fleet.directory)
        assert not self.core or not unexpected_warnings(run.output), unexpected_warnings(run.output)
        return run

    def in_traffic(self) -> dict[str, set[str]]:
        """Load balancer to the members that it sends new traffic to, read from HAProxy itself."""
        return self.fleet.in_traffic()

    def versions(self) -> dict[str, str]:
        """Member to the release that it answers."""
        return {member.name: self.fleet.member_version(member.name) for member in self.fleet.layout.members}


@contextmanager
def an_operator(name: str, core: str | None = None, **shape: object):
    """An operator with a fleet on release 1.0.0, which is gone afterwards; its shape as EmbeddedFleet takes it.

    :param core: the version of ansible-core for all runs, none of which may warn.
    """
    program = core and installed(core)
    directory = REPOSITORY / "build" / "integration" / name
    with EmbeddedFleet(directory, **shape) as fleet:
        try:
            yield Operator(fleet, program)
        finally:
            stop_probe(directory / "probe")


@pytest.fixture(scope="module")
def operator(request):
    """One for each test module, whose tests leave the fleet as it was, or build on each other."""
    with an_operator(request.module.__name__.rsplit(".", maxsplit=1)[-1]) as operator:
        yield operator


@pytest.fixture
def another_operator(request):
    """One for each test, which may leave the fleet as it likes."""
    with an_operator(request.module.__name__.rsplit(".", maxsplit=1)[-1]) as operator:
        yield operator
