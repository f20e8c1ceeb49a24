# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controllers that die."""

from __future__ import annotations

from pathlib import Path

from faults.fleets import Fleet

PLUGINS = Path(__file__).resolve().parents[1] / "sweep" / "plugins"
KILLED = -9


def killed_at(fleet: Fleet, event: str, **variables: object) -> None:
    """Run an upgrade whose controller is killed by SIGKILL at an event, such as ``ok:2:Make the release current``: the second of its kind at that task."""
    run = fleet.run("upgrade", {"ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS), "ANSIBLE_CALLBACKS_ENABLED": "kill_at", "KILL_AT_EVENT": event,
                                "KILL_AT_EVENTS_FILE": str(fleet.directory / "events")}, **variables)
    assert run.code == KILLED, f"the controller was not killed at {event}: it ended with {run.code}\n{run.output[-2000:]}"
