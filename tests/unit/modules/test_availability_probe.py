# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module and the process it starts: real processes, in directories of their own, ended by the test that started them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe import process as probe_process
from ansible_collections.alwayson.upgrade.plugins.module_utils._probe.live_figures import LiveFigures
from ansible_collections.alwayson.upgrade.plugins.modules import availability_probe
from conftest import COLLECTIONS
from probe_servers import closed_port
from run_module import run_module

SERVER = Path(__file__).resolve().parents[1] / "probe_servers.py"
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def url():
    with subprocess.Popen([sys.executable, str(SERVER)], stdout=subprocess.PIPE, text=True) as server:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.terminate()


class Prober:
    """The module with a directory and a service."""

    def __init__(self, directory, url, capsys):
        self.directory, self.url, self.capsys = directory, url, capsys

    def run(self, state, check_mode=False, **params):
        return run_module(availability_probe.main, self.capsys, check_mode=check_mode, state=state, directory=str(self.directory), **params)

    def start(self, **params):
        return self.run("started", **{"targets": [self.url], "rate": 100, "max_seconds": 60, "clients_per_target": 2, **params})

    @property
    def pid(self):
        process = probe_process.find_running(str(self.directory))
        return process.pid if process else None

    def wait_until(self, condition):
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < give_up
            time.sleep(0.05)


@pytest.fixture
def prober(tmp_path, url, capsys):
    prober = Prober(tmp_path / "probe", url, capsys)
    yield prober
    with contextlib.suppress(ProcessLookupError):
        if prober.pid:
            os.kill(prober.pid, signal.SIGKILL)


def test_a_probe_is_started_observed_and_stopped(prober):
    started = prober.start()
    assert (started["changed"], started["running"], started["pid"], started["clients"]) == (True, True, prober.pid, 6)

    observed = prober.run("observed")
    assert (observed["changed"], observed["running"], observed["live"]["rate"]) == (False, True, 100.0)

    stopped = prober.run("stopped", min_requests=50)
    result = stopped["result"]
    assert (stopped["changed"], stopped["running"], stopped["pid"], prober.pid) == (True, False, None, None)
    assert result["requests_scheduled"] >= 50
    assert result["requests_failed"] == 0
    assert result["bound_95"] == 3 / result["requests_scheduled"]
    assert result["versions"] == {"1.0.0": result["requests_scheduled"]}
    assert sum(row["scheduled"] for row in result["series"]) == result["requests_scheduled"]
    assert set(result["by_kind"]) == {"keepalive", "new", "sticky"}
    assert (prober.directory / "probe.log").read_text(encoding="utf-8") == ""
    assert json.loads((prober.directory / "result.json").read_text(encoding="utf-8")) == result


def test_the_process_belongs_to_nobody_and_holds_nothing_of_the_module(prober):
    with open(os.devnull, encoding="utf-8") as inherited:
        os.set_inheritable(inherited.fileno(), True)
        pid = prober.start()["pid"]
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines() if ":" in line)
    files = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            files.add(os.readlink(entry))
    assert int(status["PPid"]) != os.getpid()
    assert os.getsid(pid) != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    files -= {str(prober.directory / ".live.json.new")}  # once per second, for a moment
    assert {path for path in files if path.startswith("/")} == {"/dev/null", str(prober.directory / "probe.log")}


def test_a_second_probe_in_the_same_directory_is_refused(prober):
    pid = prober.start()["pid"]
    refused = prober.start()
    assert refused["failed"] and f"a probe already runs in {prober.directory} (process {pid})" in refused["msg"]
    assert prober.pid == pid


def test_a_probe_that_has_ended_by_itself_leaves_its_result(prober, monkeypatch):
    warned = []
    monkeypatch.setattr(availability_probe.AnsibleModule, "warn", lambda self, text: warned.append(text))
    prober.start(max_requests=10)
    prober.wait_until(lambda: prober.pid is None)
    for looks in range(2):
        stopped = prober.run("stopped", min_requests=20)
        assert (stopped["changed"], stopped["result"]["requests_scheduled"]) == (False, 10)
        assert len(warned) == looks + 1 and "the probe ended by itself after 10 of 20 requests" in warned[looks]


def test_sigterm_ends_it_in_an_orderly_way(prober):
    os.kill(prober.start()["pid"], signal.SIGTERM)
    prober.wait_until(lambda: prober.pid is None)
    assert (prober.directory / "result.json").exists()


def test_a_probe_that_was_killed_has_no_result_and_that_is_said(prober):
    os.kill(prober.start()["pid"], signal.SIGKILL)
    prober.wait_until(lambda: prober.pid is None)
    stopped = prober.run("stopped")
    assert stopped["failed"] and "ended without a result: read " in stopped["msg"]
    assert prober.start()["changed"]


def test_the_last_figures_of_a_probe_that_was_killed_are_returned(prober):
    pid = prober.start()["pid"]
    prober.wait_until(lambda: prober.run("observed")["live"]["requests_scheduled"] >= 50)
    os.kill(pid, signal.SIGKILL)
    prober.wait_until(lambda: prober.pid is None)
    stopped = prober.run("stopped", min_requests=10_000)
    assert stopped["failed"] and stopped["result"]["requests_scheduled"] >= 50
    assert stopped["result"]["finished"] > stopped["result"]["started"]


def test_a_probe_that_is_stopped_by_a_signal_goes_on_to_its_end_and_says_what_it_missed(prober):
    pid = prober.start(min_requests=0)["pid"]
    time.sleep(0.3)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2.0)
    result = prober.run("stopped")["result"]
    assert prober.pid is None
    assert result["requests_unmeasured"] >= 80 and result["requests_failed"] == 0


def test_a_probe_that_no_longer_writes_figures_is_not_waited_for(prober, monkeypatch):
    monkeypatch.setattr(probe_process, "SILENT_SECONDS", 2.0)
    pid = prober.start()["pid"]
    prober.wait_until(lambda: prober.run("observed")["live"]["requests_scheduled"] > 0)
    os.kill(pid, signal.SIGSTOP)
    assert prober.run("stopped", min_requests=1_000_000)["result"]["requests_unmeasured"] > 0
    assert prober.pid is None


def test_headers_and_bodies_are_secret_and_what_is_too_short_for_a_secret_masks_nothing(prober, monkeypatch):
    masked = []

    class Module(availability_probe.AnsibleModule):
        def exit_json(self, **result):
            masked.append(set(self.no_log_values))
            super().exit_json(**result)

    monkeypatch.setattr(availability_probe, "AnsibleModule", Module)
    monkeypatch.setitem(availability_probe.STATES, "started", lambda _params, _directory, _check_mode: {"changed": False})
    prober.start(headers={"Authorization": "Bearer canary-7f1", "X-Probe": "1"}, mix=[{"kind": "write", "share": 1, "body": {"password": "hunter2hunter2"}}])
    assert masked == [{"Bearer canary-7f1", "hunter2hunter2"}]


def test_a_probe_ends_with_the_process_that_it_is_to_end_with(prober):
    with subprocess.Popen(["sleep", "60"]) as leader:
        prober.start(ends_with=leader.pid)
        leader.kill()
    prober.wait_until(lambda: prober.pid is None)
    assert (prober.directory / "result.json").exists()


def test_a_probe_that_does_not_end_is_killed(prober, monkeypatch):
    monkeypatch.setattr(probe_process, "END_SECONDS", 2.0)
    prober.start(objective_seconds=0.2)
    monkeypatch.setattr(probe_process.signal, "SIGTERM", signal.SIGCONT)  # as if it did not hear
    stopped = prober.run("stopped")
    assert stopped["failed"] and "ended without a result" in stopped["msg"]
    assert prober.pid is None


def test_the_result_of_an_earlier_probe_is_never_taken_for_that_of_a_later_one(prober):
    prober.start(max_requests=5)
    prober.wait_until(lambda: prober.pid is None)
    os.kill(prober.start()["pid"], signal.SIGKILL)
    prober.wait_until(lambda: prober.pid is None)
    assert prober.run("stopped")["failed"]


def test_where_no_probe_has_run_there_is_nothing_to_stop_and_nothing_to_see(prober):
    assert "none has left a result there: start one" in prober.run("stopped")["msg"]
    observed = prober.run("observed")
    assert (observed["changed"], observed["running"], observed["live"]) == (False, False, {})


def test_check_mode_starts_nothing_and_stops_nothing(prober):
    predicted = prober.start(check_mode=True)
    assert (predicted["changed"], predicted["running"], prober.directory.exists()) == (True, False, False)
    pid = prober.start()["pid"]
    assert "already runs" in prober.start(check_mode=True)["msg"]
    stopped = prober.run("stopped", check_mode=True)
    assert (stopped["changed"], stopped["running"], stopped["result"], prober.pid) == (True, True, {}, pid)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rate": 0}, "rate is 0"),
        ({"targets": ["http://no-such-host.invalid"]}, "no-such-host.invalid cannot be resolved"),
        ({"capacity": [{"name": "lb1", "endpoint": "unix:/nowhere/admin.sock", "backend": "app"}]}, "capacity of lb1 cannot be read from unix:/nowhere"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(prober, params, message):
    refused = prober.start(**params)
    assert refused["failed"] and message in refused["msg"]
    assert prober.pid is None


def test_a_service_that_is_down_is_measured_as_such(prober):
    prober.start(targets=[f"http://127.0.0.1:{closed_port()}"], max_requests=10)
    result = prober.run("stopped", min_requests=10)["result"]
    assert (result["failures_by_class"]["refused"], result["requests_failed"], result["availability"], result["bound_95"]) == (10, 10, 0.0, None)


def test_secrets_in_headers_are_not_written_to_disk(prober):
    prober.start(headers={"Authorization": "Bearer 3c0ffee"}, max_requests=5)
    prober.run("stopped", min_requests=5)
    files = [path for path in prober.directory.iterdir() if path.is_file()]
    assert len(files) == 5
    assert all("3c0ffee" not in path.read_text(encoding="utf-8") for path in files)


def test_a_process_id_that_was_given_to_another_process_is_not_taken_for_the_probe(prober):
    prober.directory.mkdir()
    (prober.directory / "probe.pid").write_text(json.dumps({"pid": os.getpid(), "process_start": "1"}), encoding="utf-8")
    assert probe_process.find_running(str(prober.directory)) is None


def test_a_process_that_is_no_probe_is_not_ended_whoever_names_it(prober):
    prober.directory.mkdir()
    with subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL) as other:
        began = probe_process.processes.started(other.pid)
        (prober.directory / "probe.pid").write_text(json.dumps({"pid": other.pid, "process_start": began}), encoding="utf-8")
        assert "no probe runs in" in prober.run("stopped")["msg"] and other.poll() is None
        other.terminate()


@pytest.mark.parametrize("state", ["started", "observed", "stopped"])
def test_a_directory_in_which_others_may_write_is_not_trusted(prober, state):
    prober.directory.mkdir()
    (prober.directory / "result.json").write_text(json.dumps({"requests_scheduled": 100000, "requests_failed": 0}), encoding="utf-8")
    (prober.directory / "live.json").write_text(json.dumps({"now": time.time()}), encoding="utf-8")
    prober.directory.chmod(0o777)
    answer = prober.run(state, **({"targets": [prober.url]} if state == "started" else {}))
    assert f"{prober.directory} may be written by every account (mode 0777), so nothing in it is trusted: name a folder" in answer["msg"]
    assert LiveFigures(0.0, 0.0).newer(str(prober.directory), time.time()) is None
    prober.directory.chmod(0o755)
    assert LiveFigures(0.0, 0.0).newer(str(prober.directory), time.time())


def test_its_directory_is_its_own_under_any_umask(prober):
    umask = os.umask(0)
    try:
        prober.start(max_requests=5)
    finally:
        os.umask(umask)
    prober.run("stopped", min_requests=5)
    assert prober.directory.stat().st_mode & 0o777 == 0o700 and all(path.stat().st_mode & 0o777 == 0o600 for path in prober.directory.iterdir())


def test_a_probe_whose_log_was_removed_is_still_found(prober):
    prober.start()
    (prober.directory / "probe.log").unlink()
    assert prober.pid is not None
    prober.run("stopped")
    assert prober.pid is None


def test_a_pid_file_that_no_probe_wrote_is_named(prober):
    prober.directory.mkdir()
    foreign = prober.directory / "probe.pid"
    for content, message in (("4711 of something", "probe.pid cannot be understood"), ("4711", "probe.pid does not name a probe")):
        foreign.write_text(content, encoding="utf-8")
        assert message in prober.run("observed")["msg"]
    foreign.unlink()


def test_it_outlives_the_folder_that_ansible_ran_the_module_from(prober, tmp_path):
    """Through a real ansible: the module's zip is gone by the time that most of the requests are sent."""
    def ansible(**params):
        options = json.dumps({"directory": str(prober.directory), **params})
        command = [str(Path(sys.executable).with_name("ansible")), "localhost", "-i", "localhost,", "-c", "local",
                   "-e", f"ansible_python_interpreter={sys.executable}", "-m", "alwayson.upgrade.availability_probe", "-a", options]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_REMOTE_TMP": str(tmp_path / "remote"),
                       "ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.partition("=>")[2])

    ansible(state="started", targets=[prober.url], rate=100, max_seconds=60)
    assert list((tmp_path / "remote").glob("ansible-tmp-*")) == []
    stopped = ansible(state="stopped", min_requests=200)
    assert stopped["result"]["requests_scheduled"] >= 200
    assert stopped["result"]["requests_failed"] == 0


def test_a_probe_that_could_not_be_found_again_does_not_start(monkeypatch):
    monkeypatch.setattr(probe_process.processes, "started", lambda pid: "")
    with pytest.raises(probe_process.ProbeError, match="could not be found again: mount /proc"):
        probe_process._myself()
