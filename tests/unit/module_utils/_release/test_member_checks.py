# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a member needs to come back: a folder that can be switched, commands that can be run, a status that fits."""

from __future__ import annotations

import os

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.programs import Ended
from ansible_collections.alwayson.upgrade.plugins.module_utils._release import member_checks as checks
from ansible_collections.alwayson.upgrade.plugins.module_utils._release.service import Service, commands_for


@pytest.fixture(name="root")
def _root(tmp_path):
    root = tmp_path / "shop"
    (root / "releases" / "1.0.0").mkdir(parents=True)
    (root / "current").symlink_to("releases/1.0.0")
    return root


def program(path, text="#!/bin/sh\n", mode=0o755):
    path.write_text(text, encoding="ascii")
    path.chmod(mode)
    return str(path)


def variables(problems):
    return [problem.variable for problem in problems]


def test_a_folder_as_it_should_be(root):
    assert checks.root_problems(str(root), "1.0.0", True, "deploy") == []


def test_a_member_with_traffic_needs_its_folder_and_a_new_host_a_place_for_one(root, tmp_path):
    assert variables(checks.root_problems(str(tmp_path / "no" / "where"), None, True, "deploy")) == ["release_root"]
    assert checks.root_problems(str(tmp_path / "no" / "where"), None, False, "deploy") == []
    assert checks.root_problems(str(root), None, False, "deploy") == []
    (root / "releases" / "1.0.0").rmdir()
    assert "which is not there" in checks.root_problems(str(root), "1.0.0", True, "deploy")[0].what
    assert "is no folder" in checks.root_problems(program(tmp_path / "file"), None, False, "deploy")[0].what


def test_who_may_not_write_there_is_named(root, monkeypatch):
    (root / ".fence").touch()
    real, closed = os.access, {str(root), str(root / "releases"), str(root / ".fence")}

    def denied(path, mode, **_options):
        return path not in closed and real(path, mode)

    monkeypatch.setattr(checks.os, "access", denied)
    [problem] = checks.root_problems(str(root), "1.0.0", True, "deploy")
    assert problem.variable == "ansible_become"
    assert problem.what == f"deploy, who releases are activated as, may not write {root} and {root}/releases and {root}/.fence"


@pytest.mark.parametrize(("command", "why"), [
    (["/nonexistent/start"], "there is no /nonexistent/start"),
    (["no-such-program", "x"], "there is no no-such-program in PATH"),
    (["{folder}/plain"], "is not executable for deploy"),
    (["{folder}/script"], "its interpreter /nonexistent/sh is not there"),
    (["{folder}"], "is not executable for deploy"),
])
def test_a_command_that_cannot_be_run_is_found(tmp_path, command, why):
    program(tmp_path / "plain", mode=0o644)
    program(tmp_path / "script", "#!/nonexistent/sh -e\n")
    words = [word.format(folder=tmp_path) for word in command]
    [problem] = checks.command_problems(commands_for(None, ["true"], words, ["true"]), None, 5, "deploy")
    assert problem.variable == "release_start_command" and why in problem.what


def test_before_the_first_release_only_commands_of_the_release_may_be_missing(tmp_path):
    own, other = f"{tmp_path}/shop/current/bin/ctl start", "/nonexistent/shopctl start"
    later = str(tmp_path / "shop")
    assert checks.command_problems(commands_for(None, "true", own, "true"), None, 5, "deploy", comes_later=later) == []
    (tmp_path / "shop").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "shop")
    assert checks.command_problems(commands_for(None, "true", own, "true"), None, 5, "deploy", comes_later=str(tmp_path / "link")) == []
    [problem] = checks.command_problems(commands_for(None, "true", other, "true"), None, 5, "deploy", comes_later=later)
    assert problem.variable == "release_start_command" and "there is no /nonexistent/shopctl" in problem.what
    assert len(checks.command_problems(commands_for(None, "true", own, "true"), None, 5, "deploy")) == 1


def test_without_commands_there_is_nothing_to_look_at():
    none = commands_for(None, None, None, None)
    assert checks.command_problems(none, None, 5, "deploy") == []
    assert checks.state_of(Service(none, 5), None, True) == (None, [])


@pytest.mark.parametrize(("outcome", "why"), [
    (Ended(0, "loaded\n"), None), (Ended(0, "not-found"), "its LoadState is not-found"), (Ended(0, "masked"), "its LoadState is masked"),
    (Ended(1, "no bus"), "ended with 1: no bus"),
])
def test_a_unit_has_to_be_known(outcome, why, monkeypatch):
    monkeypatch.setattr(checks.shutil, "which", lambda name: f"/usr/bin/{name}")
    asked = []
    found = checks.command_problems(commands_for("shop", None, None, None), "shop", 5, "root", lambda command, _seconds: asked.append(command) or outcome)
    assert asked == [["systemctl", "show", "--property", "LoadState", "--value", "shop"]]
    assert variables(found) == (["release_service"] if why else []) and (not why or why in found[0].what)


def test_a_host_without_systemd_is_found(monkeypatch):
    monkeypatch.setattr(checks.shutil, "which", lambda _name: None)
    [problem] = checks.command_problems(commands_for("shop", None, None, None), "shop", 5, "root")
    assert "there is no systemctl" in problem.what


@pytest.mark.parametrize(("code", "serving", "running", "why"), [
    (0, True, True, None), (3, True, False, "says that the service is not running, and the member takes traffic"), (3, False, False, None),
    (127, False, None, "ended with 127"),
])
def test_the_status_has_to_fit(code, serving, running, why):
    service = Service(commands_for(None, ["a"], ["b"], ["c"]), 5, lambda _command, _seconds: Ended(code, ""))
    state, found = checks.state_of(service, None, serving)
    assert state is running
    assert variables(found) == (["release_status_command"] if why else []) and (not why or why in found[0].what)
