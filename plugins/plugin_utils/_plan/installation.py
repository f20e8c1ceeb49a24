# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first release of a service: on which hosts it is installed, and why not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .preflight import lost_members, wrong_settings
from .shapes import Observed, Service

ROOT = "release_root"
INSTALL = "install"  # the direction of a run that installs the first release


def installation(service: Service, observed: Observed) -> dict[str, Any]:
    """What a first installation does.

    Members that run the release already and are in traffic are left alone; a host that was added to the fleet gets what the others run.

    :param service: see ``service.describe``.
    :param observed: see ``plan.make_plan``.
    :returns: ``{hosts: [host], refusals: [sentence], known: [host]}``; a load balancer knows the last, and sends them traffic once they are healthy.
    """
    release = service["release"]
    members = observed["members"]
    views = {name: _views(facts, observed, service) for name, facts in members.items()}
    live = {name: sorted(balancer for balancer, view in seen.items() if view["live"]) for name, seen in views.items()}
    sentences = [*lost_members(members), *wrong_settings(observed)]
    running: dict[str, list[str]] = {facts["release"]: [] for facts in members.values() if facts["release"] not in (None, release)}
    for name, facts in sorted(members.items()):
        if facts["release"] in running:
            running[facts["release"]].append(name)
        elif facts["release"] is None and live[name]:
            sentences.append(unknown_release(name, f"is in traffic on {', '.join(live[name])}"))
    if running:
        sentence = " and ".join(f"{version} is current on {', '.join(names)}" for version, names in sorted(running.items()))
        sentences.append(f"{sentence}, and install.yml is for hosts on which nothing runs: "
                         f"ansible-playbook alwayson.upgrade.upgrade -e upgrade_release={release}")
    hosts = sorted(name for name, facts in members.items() if not facts["lost"] and not (facts["release"] == release and live[name]))
    return {"hosts": [] if sentences else hosts, "refusals": sentences, "known": [name for name in hosts if views[name]]}


def installation_text(service: Service, done: Mapping[str, Any]) -> list[str]:
    """What an installation did, and what is next, in lines.

    :param done: see ``installation``.
    """
    release, hosts = service["release"], list(done["hosts"])
    waiting = sorted(set(hosts) - set(done["known"]))
    sentence = f"{release} runs and passed its smoke tests on {', '.join(hosts)}"
    unknown = f"Next: add {', '.join(waiting)} to {service['backend']} on {', '.join(service['hosts']['load_balancers'])}"
    return [sentence if hosts else f"{release} runs on every member, and is in traffic: there is nothing to install", *([unknown] if waiting else []),
            "What runs where: ansible-playbook alwayson.upgrade.status",
            "To upgrade to the next release: ansible-playbook alwayson.upgrade.plan -e upgrade_release=..."]


def unknown_release(name: str, why: str) -> str:
    """The refusal of a member that serves an unknown release."""
    return (f"{name} {why}, and no release is current in its release_root: correct release_root, or, if the application was installed in another "
            "way, move it to releases/<version> in release_root, link current to it, and make the service start from current")


def not_installed(service: Service, observed: Observed, live: list[str]) -> list[str]:
    """The members that an upgrade cannot return to anything. The pool without traffic of a blue-green service need not have had a release."""
    if service.get("side"):
        return []
    missing = sorted(name for name, facts in observed["members"].items()
                     if facts.get("release") is None and not facts.get("lost") and not _has_wrong_root(facts))
    idle = [name for name in missing if name not in live]
    first = [(f"no release is current on {', '.join(idle)}, so there is no release to return to. Install one there first: "
              "ansible-playbook alwayson.upgrade.install, with the upgrade_release that the other members run")] if idle else []
    return first + [unknown_release(name, "is in traffic") for name in missing if name in live]


def _has_wrong_root(facts: Mapping[str, Any]) -> bool:
    """Whether the preflight says what is wrong with the folder itself."""
    return any(problem["variable"] == ROOT for problem in (facts.get("preflight") or {}).get("problems", ()))


def _views(facts: Mapping[str, Any], observed: Observed, service: Service) -> dict[str, Mapping[str, Any]]:
    """Load balancer to how it sees this member; none where it does not know it."""
    backends = list(service["blue_green"] or [service["backend"]])
    found: dict[str, Mapping[str, Any]] = {}
    for name, balancer in observed["load_balancers"].items():
        seen = [balancer["backends"][backend]["members"].get(facts["name"]) for backend in backends if backend in balancer["backends"]]
        found.update([(name, view) for view in seen if view])
    return found
