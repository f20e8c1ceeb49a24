# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running fleet: what `up` promises, what the shop answers, and which of its releases lives with which schema."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from fleet import artifacts, members
from fleet.embedded import EmbeddedFleet, FleetError

MIGRATIONS = artifacts.SHOP / "migrations" / "2.0.0"
DATABASES = ("tenant_a", "tenant_b")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    with EmbeddedFleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running


def ask(netloc: str, method: str, path: str, content: object = None) -> tuple[int, dict, dict]:
    """One request; status, headers, body."""
    connection = http.client.HTTPConnection(netloc, timeout=10)
    try:
        connection.request(method, path, None if content is None else json.dumps(content))
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, json.loads(response.read())
    finally:
        connection.close()


def ask_member(fleet: EmbeddedFleet, name: str, method: str, path: str, content: object = None) -> tuple[int, dict]:
    status, headers, body = ask(str(fleet.layout.member(name).endpoint), method, path, content)
    assert headers["x-served-by"] == name
    return status, body


def eventually(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 60 s"
        time.sleep(0.05)


def switch(fleet: EmbeddedFleet, name: str, release: str) -> None:
    """Bring a release to a member by hand."""
    member = fleet.layout.member(name)
    subprocess.run(members.command(member, "stop"), check=True, stdout=subprocess.DEVNULL)
    (member.directory / "current").unlink()
    version = artifacts.RELEASES[release]
    if (member.directory / "releases" / version).exists():
        (member.directory / "current").symlink_to(f"releases/{version}")
    else:
        artifacts.install(artifacts.build(release, fleet.directory / "artifacts"), member.directory)
    subprocess.run(members.command(member, "start"), check=True, stdout=subprocess.DEVNULL)


def migrate(fleet: EmbeddedFleet, phase: str) -> None:
    steps = sorted((MIGRATIONS / phase).glob("*.sql"))
    assert steps
    for database in DATABASES:
        for step in steps:
            fleet.query(database, step.read_text())


def test_all_members_are_in_traffic_on_both_load_balancers(fleet):
    expected = {f"app{number}": "UP L7OK" for number in range(1, 7)}
    eventually(lambda: [fleet.server_states(name) for name in ("lb1", "lb2")] == [expected, expected])
    assert [fleet.member_version(name) for name in expected] == ["1.0.0"] * 6
    assert len(fleet.running()) == 1 + 6 + 2 + 6
    served: set[str] = set()
    eventually(lambda: served.add(ask(fleet.layout.load_balancers[0].front_url[7:], "GET", "/version")[2]["host"]) or len(served) == 6)


def test_the_runtime_socket_takes_commands(fleet):
    assert fleet.runtime("lb1", "show info").startswith("Name: HAProxy")
    fleet.runtime("lb2", "set server app/app3 state maint")
    assert fleet.server_states("lb2")["app3"].startswith("MAINT")
    assert fleet.server_states("lb1")["app3"].startswith("UP ")
    fleet.runtime("lb2", "set server app/app3 state ready")
    eventually(lambda: fleet.server_states("lb2")["app3"] == "UP L7OK")


def test_the_inventory_says_what_a_playbook_needs(fleet):
    inventory = yaml.safe_load(fleet.inventory.read_text())["all"]
    assert inventory["vars"] == {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    groups = {name: group["hosts"] for name, group in inventory["children"].items()}
    assert {name: list(hosts) for name, hosts in groups.items()} == {
        "load_balancers": ["lb1", "lb2"],
        "app": [f"app{number}" for number in range(1, 7)],
        "databases": ["db1"],
    }
    for host in groups["app"].values():
        assert subprocess.run(host["release_status_command"], stdout=subprocess.DEVNULL, check=False).returncode == 0
        assert ask(f"{host['member_address']}:{host['member_port']}", "GET", "/healthz")[2]["status"] == "ok"
        assert os.readlink(Path(host["release_root"], "current")) == "releases/1.0.0"
    assert [host["zone"] for host in groups["app"].values()] == ["east"] * 3 + ["west"] * 3
    for host in groups["load_balancers"].values():
        assert ask(host["front_url"].removeprefix("http://"), "GET", "/healthz")[0] == 200
        assert host["traffic_endpoint"].startswith("tcp://127.")
    database = groups["databases"]["db1"]
    assert Path(database["postgresql_bin_dir"], "pg_dump").exists()
    assert database["postgresql_databases"] == list(DATABASES)


def test_orders_are_written_to_the_tenant_they_are_for(fleet):
    counts = {database: fleet.query(database, "SELECT count(*) FROM orders")[0][0] for database in DATABASES}
    assert counts == {"tenant_a": 2000, "tenant_b": 2000}
    for number, (tenant, balancer) in enumerate([("a", 0), ("b", 1), ("b", 0)], start=1):
        netloc = fleet.front_urls[balancer].removeprefix("http://")
        status, headers, body = ask(netloc, "POST", f"/orders?tenant={tenant}", {"product": number, "quantity": 2})
        assert (status, headers["x-release"], body["release"]) == (201, "1.0.0", "1.0.0")
        status, _headers, found = ask(netloc, "GET", f"/orders/{body['order']}?tenant={tenant}")
        price = fleet.query(f"tenant_{tenant}", f"SELECT price_cents FROM products WHERE id = {number}")[0][0]
        assert (status, found["order"]) == (200, {"id": body["order"], "product": number, "quantity": 2, "total_cents": 2 * price})
    for tenant, added in (("a", 1), ("b", 2)):
        assert ask_member(fleet, "app1", "GET", f"/orders/count?tenant={tenant}")[1]["count"] == 2000 + added


@pytest.mark.parametrize(
    ("status", "method", "path", "content"),
    [
        (404, "GET", "/", None),
        (404, "GET", "/orders/0?tenant=a", None),
        (404, "GET", "/orders/9999999999?tenant=a", None),
        (404, "GET", "/products?tenant=c", None),
        (400, "GET", "/products", None),
        (400, "GET", "/products?tenant=a&after=-1", None),
        (400, "GET", "/slow?ms=3001", None),
        (400, "GET", "/slow?ms=ten", None),
        (405, "PUT", "/orders?tenant=a", {}),
        (405, "POST", "/healthz", {}),
        (400, "POST", "/orders?tenant=a", []),
        (400, "POST", "/orders?tenant=a", {"product": 1}),
        (400, "POST", "/orders?tenant=a", {"product": True, "quantity": 1}),
        (400, "POST", "/orders?tenant=a", {"product": 1, "quantity": 1001}),
        (404, "POST", "/orders?tenant=a", {"product": 201, "quantity": 1}),
    ],
)
def test_what_clients_get_wrong_is_answered_with_why(fleet, status, method, path, content):
    before = fleet.query("tenant_a", "SELECT count(*) FROM orders")
    found, body = ask_member(fleet, "app1", method, path, content)
    assert (found, list(body)) == (status, ["error"])
    assert fleet.query("tenant_a", "SELECT count(*) FROM orders") == before


def test_products_come_in_pages(fleet):
    seen, after = [], 0
    while page := ask_member(fleet, "app2", "GET", f"/products?tenant=b&after={after}")[1]["products"]:
        assert len(page) <= 20
        seen += [product["id"] for product in page]
        after = seen[-1]
    assert seen == list(range(1, 201))


def test_slow_answers_take_their_time(fleet):
    started = time.monotonic()
    assert ask_member(fleet, "app1", "GET", "/slow?ms=200")[1] == {"slept_ms": 200, "release": "1.0.0"}
    assert time.monotonic() - started >= 0.2


def test_a_dead_member_leaves_traffic_and_comes_back(fleet):
    fleet.kill_member("app4")
    for name in ("lb1", "lb2"):
        eventually(lambda name=name: fleet.server_states(name)["app4"].startswith("DOWN"))
    assert subprocess.run(members.command(fleet.layout.member("app4"), "status"), stdout=subprocess.DEVNULL, check=False).returncode == 1
    with pytest.raises(members.MemberError, match=r"app4 at .* does not answer"):
        fleet.member_version("app4")
    fleet.boot_member("app4")
    for name in ("lb1", "lb2"):
        eventually(lambda name=name: fleet.server_states(name)["app4"] == "UP L7OK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_lost_database_session_costs_a_reader_nothing(fleet):
    for _request in range(3):
        assert ask_member(fleet, "app3", "GET", "/products?tenant=a")[0] == 200
    database = fleet.record.processes["postgres"]
    children = [pid for pid in Path(f"/proc/{database.pid}/task/{database.pid}/children").read_text().split() if _is_session_of(pid, "shop")]
    assert children
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)
    for _request in range(3):
        assert ask_member(fleet, "app3", "GET", "/products?tenant=a")[0] == 200


def _is_session_of(pid: str, role: str) -> bool:
    try:
        return f": {role} " in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # such as a worker of the server that has just come to its end
        return False


def test_which_release_lives_with_which_schema(fleet):
    order = {"product": 1, "quantity": 1}
    # 2.0.0 cannot do without the new column.
    switch(fleet, "app6", "2.0.0")
    assert fleet.member_version("app6") == "2.0.0"
    status, body = ask_member(fleet, "app6", "GET", "/healthz")
    assert (status, body["status"]) == (503, "failing")
    assert "currency" in body["error"]
    eventually(lambda: fleet.server_states("lb1")["app6"] == "DOWN L7STS")

    # With it, both releases take orders.
    migrate(fleet, "expand")
    assert ask_member(fleet, "app6", "GET", "/healthz")[0] == 200
    for tenant in ("a", "b"):
        old = ask_member(fleet, "app1", "POST", f"/orders?tenant={tenant}", order)
        new = ask_member(fleet, "app6", "POST", f"/orders?tenant={tenant}", {**order, "currency": "SEK"})
        assert [old[0], new[0]] == [201, 201]
        assert new[1]["currency"] == "SEK"
        read = [ask_member(fleet, "app6", "GET", f"/orders/{answer[1]['order']}?tenant={tenant}")[1]["order"]["currency"] for answer in (old, new)]
        assert read == ["EUR", "SEK"]
        assert ask_member(fleet, "app1", "GET", f"/orders/{new[1]['order']}?tenant={tenant}")[1]["order"]["id"] == new[1]["order"]
    assert ask_member(fleet, "app6", "POST", "/orders?tenant=a", {**order, "currency": "crowns"})[0] == 400
    assert ask_member(fleet, "app1", "GET", "/healthz")[0] == 200

    # The bad release is found by looking at what it answers, not by its health.
    switch(fleet, "app6", "bad")
    assert ask_member(fleet, "app6", "GET", "/healthz")[0] == 200
    assert ask_member(fleet, "app6", "GET", "/products?tenant=a") == (200, {"tenant": "a", "products": [], "release": "2.0.1"})
    switch(fleet, "app6", "2.0.0")
    assert len(ask_member(fleet, "app6", "GET", "/products?tenant=a")[1]["products"]) == 20

    # The point of no return: 1.0.0 needs what the contraction takes away.
    migrate(fleet, "contract")
    assert ask_member(fleet, "app6", "GET", "/healthz")[0] == 200
    status, body = ask_member(fleet, "app1", "GET", "/healthz")
    assert status == 503
    assert "legacy_code" in body["error"]


def test_a_second_fleet_in_the_same_folder_is_refused(fleet):
    with pytest.raises(FleetError, match=r"a fleet is up in .* already"):
        EmbeddedFleet(fleet.directory).up()
    assert ask_member(fleet, "app2", "GET", "/version")[0] == 200
