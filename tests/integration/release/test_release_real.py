# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles release and smoke_tests, and their modules, through ansible-playbook against a real process on 127.0.0.1.

ANSIBLE_PLAYBOOK names the ansible-playbook to use; without it, the one beside this Python.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

import pytest
from fleet import signing
from fleet.ports import Ports

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
PLAYBOOK = os.environ.get("ANSIBLE_PLAYBOOK", str(Path(sys.executable).with_name("ansible-playbook")))


class Run:
    """What a playbook left: its exit code, its text, its recap of localhost and the facts it wrote."""

    def __init__(self, process, facts):
        self.code, self.text = process.returncode, process.stdout + process.stderr
        recap = re.findall(r"^localhost\s+: (.*)$", self.text, re.MULTILINE)
        self.recap = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", recap[-1])} if recap else {}
        self.facts = json.loads(facts.read_text(encoding="utf-8")) if facts.exists() else None


class Shop:
    """A root for releases on this machine, a free port, and playbooks over both."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / "shop"
        self.root.mkdir()
        # Not one that the system gives to whoever connects to something: the service is stopped and started, and must find it free.
        self.port = Ports().endpoint("127.0.0.1").port
        self.url = f"http://127.0.0.1:{self.port}"
        link = folder / "collections" / "ansible_collections" / "alwayson" / "upgrade"
        link.parent.mkdir(parents=True)
        link.symlink_to(REPOSITORY)

    def artifact(self, version, evil=False, folder=None):
        """Write the release to a file; return the role's variables for it."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, content in (("VERSION", version.encode()), ("../evil" if evil else "static/logo", b"logo")):
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), 0o644
                tar.addfile(info, io.BytesIO(content))
        content = gzip.compress(buffer.getvalue(), mtime=0)
        path = (folder or self.folder) / f"shop-{version}.tar.gz"
        path.write_bytes(content)
        return {"release_version": version, "release_artifact": str(path), "release_sha256": hashlib.sha256(content).hexdigest()}

    def role_vars(self, **more):
        commands = {
            f"release_{verb}_command": [sys.executable, str(HERE / "shopctl.py"), verb, str(self.port), str(self.root)] for verb in ("stop", "start", "status")
        }
        return {"release_root": str(self.root), "release_command_timeout": 60, **commands, **more}

    def play(self, tasks, *arguments):
        """Run `tasks` on localhost. `facts` in the result is what the last task registered as `seen`."""
        facts = self.folder / "facts.json"
        facts.unlink(missing_ok=True)
        keep = {
            "name": "Keep what was seen",
            "ansible.builtin.copy": {"content": "{{ seen | default({}) | to_json }}", "dest": str(facts), "mode": "0600"},
            "check_mode": False,
            "changed_when": False,
        }
        play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"block": tasks, "always": [keep]}]}
        path = self.folder / "play.yml"
        path.write_text(json.dumps([play]), encoding="utf-8")
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "ansible"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "remote"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "TMPDIR": str(self.folder / "tmp"),
        }
        (self.folder / "tmp").mkdir(exist_ok=True)
        command = [PLAYBOOK, "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", *arguments, str(path)]
        process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
        assert os.listdir(self.folder / "tmp") == [], "something was left in the folder for temporary files"
        return Run(process, facts)

    def role(self, name, tasks_from="main", arguments=(), **variables):
        task = {"name": "The role", "ansible.builtin.include_role": {"name": f"alwayson.upgrade.{name}", "tasks_from": tasks_from}, "vars": variables}
        result = f"{name}_result"
        seen = {"name": "See", "ansible.builtin.set_fact": {"seen": f"{{{{ {result} | default({{}}) }}}}"}}
        return self.play([{"block": [task], "always": [seen]}], *arguments)

    def answers(self):
        """The release that the running server says it is."""
        with urllib.request.urlopen(f"{self.url}/version", timeout=10) as answer:
            return json.load(answer)["release"]

    def stop(self):
        subprocess.run([sys.executable, str(HERE / "shopctl.py"), "stop", str(self.port), str(self.root)], timeout=60, check=False, capture_output=True)


@pytest.fixture(name="shop")
def _shop(tmp_path):
    shop = Shop(tmp_path)
    yield shop
    shop.stop()


@pytest.fixture(name="running")
def _running(shop):
    """1.0.0 runs."""
    assert shop.role("release", **shop.role_vars(**shop.artifact("1.0.0"))).code == 0
    return shop


@pytest.fixture(name="serving", scope="module")
def _serving(tmp_path_factory):
    """1.0.0 runs, for tests that only ask it."""
    shop = Shop(tmp_path_factory.mktemp("serving"))
    try:
        assert shop.role("release", **shop.role_vars(**shop.artifact("1.0.0"))).code == 0
        yield shop
    finally:
        shop.stop()


@pytest.fixture(name="orders")
def _orders(serving):
    """The file that keeps the orders which the service gets; not there yet."""
    path = serving.root / "orders"
    path.unlink(missing_ok=True)
    return path


def version_test(release, **changes):
    return {"name": "version", "url": "http://127.0.0.1:{port}/version", "expect": {"release": release}, **changes}


def smoke(shop, *tests, arguments=(), **variables):
    tests = [{**test, "url": test["url"].format(port=shop.port)} for test in tests]
    return shop.role("smoke_tests", arguments=arguments, smoke_tests_tests=tests, **{"smoke_tests_timeout": 10, **variables})


def test_from_nothing_to_the_second_release_and_back(shop):
    first = shop.artifact("1.0.0")
    done = shop.role("release", **shop.role_vars(**first))
    assert done.code == 0, done.text
    assert (done.recap["changed"], done.facts["release"], done.facts["release_before"]) == (2, "1.0.0", None)
    again = shop.role("release", **shop.role_vars(**first))
    assert (again.code, again.recap["changed"]) == (0, 0), again.text
    second = shop.artifact("2.0.0")
    checked = shop.role("release", "stage", ["--check"], **shop.role_vars(**second))
    assert (checked.code, checked.recap["changed"]) == (0, 1), checked.text
    assert sorted(os.listdir(shop.root / "releases")) == ["1.0.0"]
    assert shop.role("release", "stage", **shop.role_vars(**second)).code == 0
    assert shop.answers() == "1.0.0"
    switched = shop.role("release", "activate", **shop.role_vars(release_version="2.0.0"))
    assert (switched.code, switched.facts["release"], switched.facts["release_before"]) == (0, "2.0.0", "1.0.0"), switched.text
    assert shop.answers() == "2.0.0"
    back = shop.role("release", "activate", **shop.role_vars(release_version=switched.facts["release_before"]))
    assert (back.code, back.facts["release"]) == (0, "1.0.0"), back.text
    assert shop.answers() == "1.0.0"


def test_a_release_that_does_not_start_is_a_failure_with_a_way_back(running):
    broken = running.artifact("2.0.0-broken")
    failed = running.role("release", **running.role_vars(**broken))
    assert failed.code != 0
    assert "release 2.0.0-broken does not start" in failed.facts["msg"] and "version=1.0.0" in failed.facts["msg"]
    assert (failed.facts["release"], failed.facts["release_before"]) == ("2.0.0-broken", "1.0.0")
    assert running.role("release", "activate", **running.role_vars(release_version="1.0.0")).code == 0
    assert running.answers() == "1.0.0"


def test_an_artifact_is_fetched_from_a_url(running):
    wanted = running.artifact("2.0.0", folder=running.root)
    wanted["release_artifact"] = f"{running.url}/artifact/shop-2.0.0.tar.gz"
    done = running.role("release", "stage", **running.role_vars(**wanted))
    assert (done.code, done.recap["changed"]) == (0, 1), done.text
    assert sorted(os.listdir(running.root / "releases")) == ["1.0.0", "2.0.0"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"evil": True}, "is refused, nothing of it was kept"),
        ({"release_artifact": "/nowhere.tar.gz"}, "nowhere.tar.gz"),
    ],
    ids=["evil", "missing"],
)
def test_what_cannot_be_staged_leaves_nothing(shop, changes, reason):
    wanted = shop.artifact("2.0.0", evil=changes.pop("evil", False))
    failed = shop.role("release", "stage", **shop.role_vars(**{**wanted, **changes}))
    assert failed.code != 0 and reason in failed.text
    assert [path.name for path in shop.root.rglob("*") if path.name not in ("releases", ".lock")] == []
    assert not (shop.folder / "evil").exists()


def test_missing_variables_are_named(shop):
    failed = shop.role("release")
    assert failed.code != 0
    assert re.search("missing required arguments: release_artifact, release_root, release_sha256, release_version", failed.text), failed.text


def test_a_smoke_test_that_fails_says_what_was_expected_and_seen(serving):
    failed = smoke(serving, version_test("2.0.0"), {"name": "missing", "url": "http://127.0.0.1:{port}/missing"}, smoke_tests_timeout=3)
    assert failed.code != 0
    assert failed.facts["passed"] is False
    lines = failed.facts["msg"].splitlines()
    assert lines[0] == "2 of 2 smoke tests failed."
    assert lines[1] == f'version: GET {serving.url}/version: expected release to be "2.0.0", saw "1.0.0".'
    assert lines[2].startswith(f"missing: GET {serving.url}/missing: answered 404 instead of 200 (")
    assert lines[3].endswith(f"curl -i {serving.url}/version")
    assert [test["passed"] for test in failed.facts["tests"]] == [False, False]


def test_a_service_that_is_down_is_a_failure_in_bounded_time(shop):
    failed = smoke(shop, version_test("1.0.0"), smoke_tests_timeout=0.5)
    assert failed.code != 0 and "connection refused (" in failed.facts["msg"]


def test_all_that_an_expectation_can_look_at(serving):
    looks = version_test(
        "1.0.0",
        expect={"release": {"matches": r"^1\."}, "length(products)": {"at_least": 2}, "products": {"contains": "Pear"}, "token": "abc"},
        expect_answer={'headers."x-release"': "1.0.0", "status": 200, "seconds": {"at_most": 60}, "abs(status)": 200},
        headers={"X-Token": "abc"},
    )
    done = smoke(serving, looks)
    assert done.code == 0, done.text
    [test] = done.facts["tests"]
    assert (test["passed"], test["status"], test["requests"], test["why"]) == (True, 200, 2, [])
    assert done.recap["changed"] == 0


def test_a_write_is_not_sent_in_check_mode(serving, orders):
    order = {"name": "order", "url": "http://127.0.0.1:{port}/orders", "method": "POST", "body": {"product": 1}, "status": [201], "expect": {"body.product": 1}}
    checked = smoke(serving, order, version_test("1.0.0"), arguments=["--check"])
    assert checked.code == 0, checked.text
    assert [test["passed"] for test in checked.facts["tests"]] == [None, True]
    assert not orders.exists()
    done = smoke(serving, order, smoke_tests_in_a_row=1)
    assert done.code == 0, done.text
    assert orders.read_bytes() == b'{"product": 1}\n'


def test_a_hostile_answer_is_inert_text(serving):
    hostile = {
        "name": "hostile",
        "url": "http://127.0.0.1:{port}/hostile",
        "expect": {
            "template": "x",
            "statement": "x",
            '"__ansible_unsafe"': {"matches": "^[{][{] 7 [*] 7 [}][}]$"},
            '"__ansible_vault"': "nonsense",
            "ansible_facts": {"pwned": True},
            "terminal": "x",
        },
        "expect_answer": {'headers."x-template"': "x"},
    }
    failed = smoke(serving, hostile)
    assert failed.code != 0
    [test] = failed.facts["tests"]
    assert len(test["why"]) == 4, test["why"]
    assert "lookup('ansible.builtin.pipe'" in test["why"][0] and "{% for x" in test["why"][1]
    assert '"\\u001b[2J' in test["why"][2] and test["why"][3].endswith('saw "{{ 7 * 7 }}"')
    assert "\x1b[2J" not in failed.text
    assert not (serving.root / "pwned").exists()
    assert "ansible_facts" not in failed.facts


def test_a_secret_header_is_sent_and_not_shown(serving):
    secret = "canary-4711"
    failed = smoke(serving, version_test("2.0.0", secret_headers={"X-Token": secret}, expect={"token": "x"}), arguments=["-vvv"])
    assert failed.code != 0 and "expected token to be" in failed.facts["msg"]
    assert secret not in failed.facts["msg"]
    assert secret not in failed.text


def test_an_expression_that_makes_no_sense_is_refused_before_any_request(serving, orders):
    order = {"name": "order", "url": "http://127.0.0.1:{port}/orders", "method": "POST", "body": {}, "status": [201]}
    failed = smoke(serving, order, version_test("1.0.0", expect={"release[": "x"}))
    assert failed.code != 0 and "smoke test 'version': 'release[' is no JMESPath expression" in failed.facts["msg"]
    assert not orders.exists()


def test_a_controller_without_jmespath_is_reported_what_to_install(serving, monkeypatch, tmp_path):
    (tmp_path / "jmespath.py").write_text("raise ImportError", encoding="ascii")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    failed = smoke(serving, version_test("1.0.0"))
    assert failed.code != 0 and "the Python package jmespath is missing on the controller" in failed.facts["msg"]


def test_no_tests_at_all_prove_nothing(serving):
    failed = smoke(serving)
    assert failed.code != 0 and "tests is empty" in failed.facts["msg"]


def test_failed_tests_are_done_again_and_the_others_not(serving, orders):
    order = {"name": "order", "url": "http://127.0.0.1:{port}/orders", "method": "POST", "body": {}, "status": [201]}
    failed = smoke(serving, order, version_test("2.0.0"), smoke_tests_retries=2, smoke_tests_delay=0, smoke_tests_in_a_row=1)
    assert failed.code != 0
    assert [test["passed"] for test in failed.facts["tests"]] == [True, False]
    assert len(orders.read_bytes().splitlines()) == 1


def test_a_signature_decides_who_may_release(shop):
    signed = shop.artifact("1.0.0")
    for name in ("engineer", "stranger"):
        signing.make_ssh_key(shop.folder / name)
    keys = shop.folder / "allowed_signers"
    signature = {"release_signature": str(signing.sign_by_ssh(Path(signed["release_artifact"]), shop.folder / "engineer")),
                 "release_signature_keys": str(keys)}
    for name, accepted in (("stranger", False), ("engineer", True)):
        keys.write_text(signing.signer(name, shop.folder / name), encoding="ascii")
        run = shop.role("release", "stage", **shop.role_vars(**signed, **signature))
        assert (run.code == 0) is accepted and ("was not made with a key in" in run.text) is not accepted, run.text
        assert (shop.root / "releases" / "1.0.0").exists() is accepted


MOUNTED = """
import os, subprocess, sys
from ansible_collections.alwayson.upgrade.plugins.module_utils._release import releases
root, uploads = sys.argv[1:]
subprocess.run(["mount", "--bind", uploads, os.path.join(root, "releases", "1.0.0", "uploads")], check=True)
for act in (lambda: releases.remove(root, "1.0.0"), lambda: releases.require_unmounted(root, "1.0.0")):
    try:
        act()
    except releases.ReleaseError as error:
        print(error)
# Without the first look, what is mounted is still not entered.
releases.removal.require_nothing_mounted = lambda path: None
print(releases.remove(root, "1.0.0"))
"""


@pytest.mark.skipif(os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0, reason="needs a mount namespace")
def test_a_folder_of_uploads_that_is_mounted_into_an_old_release_keeps_what_is_in_it(tmp_path):
    """As a bind mount, from the same disk: the device is the same on both sides."""
    root, uploads = tmp_path / "shop", tmp_path / "uploads"
    (root / "releases" / "1.0.0" / "uploads").mkdir(parents=True)
    uploads.mkdir()
    (uploads / "photo").write_text("precious", encoding="ascii")
    (root / "releases" / "1.0.0" / "app").write_text("1.0.0", encoding="ascii")
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", MOUNTED, str(root), str(uploads)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, check=True)
    assert done.stdout.count(f"something is mounted in it, at {root}/releases/1.0.0/uploads, and nothing was removed") == 2
    assert (uploads / "photo").read_text(encoding="ascii") == "precious"
    # The rest went, and the next one is told what did not.
    assert "uploads cannot be removed" in done.stdout and not (root / "releases" / "1.0.0").exists()
