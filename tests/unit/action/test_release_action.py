# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller's half of the release module brings to a host, and when."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.alwayson.upgrade.plugins.action import release

WANTED = {"root": "/srv/shop", "version": "2.0.0", "sha256": "0" * 64, "state": "staged"}


class Host:
    """Stands in for the connection and the module: `needs` says whether the release is staged there already, `status` what `test -e` says."""

    def __init__(self, needs, tmpdir="/remote/tmp", status=0):
        self.needs, self.tmpdir, self.status = needs, tmpdir, status
        self.commands, self.asked, self.transfers, self.readable = [], [], [], []

    def action(self, async_val=0, **arguments):
        task = SimpleNamespace(action="release", args=arguments, async_val=async_val, check_mode=False, diff=False, no_log=False)
        shell = SimpleNamespace(tmpdir=self.tmpdir, join_path=lambda *parts: "/".join(parts))
        loader = SimpleNamespace(get_real_file=lambda path: path)
        connection = SimpleNamespace(_shell=shell, transport="ssh", has_native_async=False)
        made = release.ActionModule(task, connection, SimpleNamespace(check_mode=False), loader, None, None)
        made._execute_module = self._execute
        made._low_level_execute_command = lambda command: self.commands.append(command) or {"rc": self.status}
        made._transfer_file = lambda local, remote: self.transfers.append((local, remote))
        made._fixup_perms2 = self.readable.extend
        made._find_needle = lambda folder, name: f"/controller/{folder}/{name}"
        made._make_tmp_path = lambda: setattr(shell, "tmpdir", "/remote/made")
        return made

    def _execute(self, module_name, module_args, task_vars, wrap_async=0):
        assert module_name == "alwayson.upgrade.release"
        self.asked.append(dict(module_args))
        needs = self.needs and "artifact_src" in module_args
        return {"changed": self.needs and not needs, "needs_artifact": needs, "async": wrap_async}


@pytest.mark.parametrize("tmpdir", ["/remote/tmp", None])
def test_a_host_without_the_release_gets_the_archive(tmpdir):
    host = Host(needs=True, tmpdir=tmpdir)
    result = host.action(**WANTED, artifact_src="shop.tar.gz").run(task_vars={})
    there = f"{tmpdir or '/remote/made'}/artifact.tar.gz"
    assert result["changed"] is True and result["needs_artifact"] is False
    assert host.transfers == [("/controller/files/shop.tar.gz", there)] and there in host.readable
    assert host.asked == [{**WANTED, "artifact_src": "shop.tar.gz"}, {**WANTED, "artifact": there}]


def test_a_host_without_a_release_of_that_version_gets_the_archive_with_the_first_call():
    host = Host(needs=True, status=1)
    assert host.action(**WANTED, artifact_src="shop.tar.gz").run(task_vars={})["needs_artifact"] is False
    assert host.asked == [{**WANTED, "artifact": "/remote/tmp/artifact.tar.gz"}] and host.commands == ["test -e /srv/shop/releases/2.0.0"]


@pytest.mark.parametrize(("status", "more"), [(127, {}), (1, {"root": "~/shop"}), (1, {"version": 2.0}), (1, {"artifact": "/var/tmp/shop.tar.gz"})])
def test_what_cannot_be_reported_is_the_modules(status, more):
    host = Host(needs=True, status=status)
    host.action(**{**WANTED, "artifact_src": "shop.tar.gz", **more}).run(task_vars={})
    assert host.asked[0] == {**WANTED, "artifact_src": "shop.tar.gz", **more}


def test_a_host_that_has_the_release_gets_nothing():
    host = Host(needs=False)
    assert host.action(**WANTED, artifact_src="shop.tar.gz").run(task_vars={})["changed"] is False
    assert len(host.asked) == 1 and host.transfers == []


def test_an_archive_on_the_host_is_not_brought():
    host = Host(needs=True)
    host.action(**WANTED, artifact="/var/tmp/shop.tar.gz").run(task_vars={})
    assert host.asked == [{**WANTED, "artifact": "/var/tmp/shop.tar.gz"}] and host.transfers == []


def test_a_pipe_in_the_place_of_the_archive_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "shop.tar.gz")
    host = Host(needs=True)
    made = host.action(**WANTED, artifact_src="shop.tar.gz")
    made._find_needle = lambda folder, name: str(tmp_path / name)
    with pytest.raises(AnsibleActionFail, match=r"artifact_src shop\.tar\.gz is no regular file"):
        made.run(task_vars={})
    assert host.transfers == []


def test_in_the_background_only_an_archive_on_the_host_is_staged():
    host = Host(needs=True)
    with pytest.raises(AnsibleActionFail, match="artifact_src cannot be used with async: bring the archive"):
        host.action(async_val=60, **WANTED, artifact_src="shop.tar.gz").run(task_vars={})
    assert host.asked == []
    assert host.action(async_val=60, **WANTED, artifact="/var/tmp/shop.tar.gz").run(task_vars={})["async"] is True
