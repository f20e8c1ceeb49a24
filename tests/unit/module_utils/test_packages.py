# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Package updates: what package managers print, what is chosen of it, locks, holds, outdated services and boots."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils import _host_state, _packages, _packages_apt, _packages_dnf
from ansible_collections.alwayson.upgrade.plugins.module_utils._packages import PackageError, Update, lock_holder, wait_for_locks, wanted

APT = """\
NOTE: This is only a simulation!
Reading package lists...
The following NEW packages will be installed:
  linux-image-6.1.0-28-amd64
The following packages will be upgraded:
  libssl3 openssl tzdata
Inst libssl3 [3.0.15-1~deb12u1] (3.0.17-1~deb12u2 Debian-Security:12/stable-security [amd64]) []
Inst openssl [3.0.15-1~deb12u1] (3.0.17-1~deb12u2 Debian:12.12/stable, Debian-Security:12/stable-security [amd64])
Inst linux-image-6.1.0-28-amd64 (6.1.119-1 Debian:12.12/stable [amd64])
Inst tzdata [2024a-0+deb12u1] (2025b-0+deb12u1 Debian:12.12/stable, Debian:12-updates/stable-updates [all])
Inst lib32gcc:i386 [1] (2 Lab:lab [i386])
Conf libssl3 (3.0.17-1~deb12u2 Debian-Security:12/stable-security [amd64])
"""
DNF = """\

kernel.x86_64                     5.14.0-503.11.1.el9_5          baseos
openssl-libs.x86_64               1:3.2.2-6.el9_5.1              baseos
vim-minimal.x86_64                2:8.2.2637-21.el9              baseos
Obsoleting Packages
iptables-nft.x86_64               1.8.10-4.el9                   baseos
    iptables-legacy.x86_64        1.8.8-1.el9                    @System
"""
ADVISORIES = """\
RHSA-2024:9333 Moderate/Sec.  openssl-libs-3.2.2-6.el9_5.1.x86_64
RHSA-2024:9315 Important/Sec. kernel-5.14.0-503.11.1.el9_5.x86_64
"""
INSTALLED = "kernel.x86_64 5.14.0-427.13.1.el9_4\nopenssl-libs.x86_64 1:3.0.7-27.el9\nvim-minimal.x86_64 2:8.2.2637-20.el9_1\n"
HOLD_A_LOCK = "import fcntl, sys, time; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)"


def test_what_apt_would_install():
    updates = {update.name: update for update in _packages_apt.parse_simulation(APT, {"tzdata"})}
    assert sorted(updates) == ["lib32gcc:i386", "libssl3", "linux-image-6.1.0-28-amd64", "openssl", "tzdata"]
    assert (updates["libssl3"].installed, updates["libssl3"].candidate) == ("3.0.15-1~deb12u1", "3.0.17-1~deb12u2")
    assert {name for name, update in updates.items() if update.security} == {"libssl3", "openssl"}
    assert [name for name, update in updates.items() if update.held] == ["tzdata"]
    assert updates["linux-image-6.1.0-28-amd64"].installed is None


def test_nothing_to_install_is_an_empty_list():
    assert _packages_apt.parse_simulation("Reading package lists...\n0 upgraded, 0 newly installed\n", set()) == []
    assert _packages_dnf.parse_updates("", "", INSTALLED) == []


def test_what_dnf_would_install():
    updates = {update.name: update for update in _packages_dnf.parse_updates(DNF, ADVISORIES, INSTALLED)}
    assert sorted(updates) == ["kernel", "openssl-libs", "vim-minimal"]
    assert (updates["openssl-libs"].installed, updates["openssl-libs"].candidate) == ("1:3.0.7-27.el9", "1:3.2.2-6.el9_5.1")
    assert {name for name, update in updates.items() if update.security} == {"kernel", "openssl-libs"}


@pytest.mark.parametrize(("security_only", "exclude", "names"), [
    (False, [], ["libssl3", "openssl"]),
    (True, [], ["libssl3"]),
    (False, ["lib*"], ["openssl"]),
    (False, ["*"], []),
])
def test_only_what_is_wanted_is_installed(security_only, exclude, names):
    updates = [Update("openssl", "1", "2"), Update("libssl3", "1", "2", security=True), Update("kept", "1", "2", held=True), Update("new", None, "2")]
    assert [update.name for update in wanted(updates, security_only, exclude)] == names


def test_the_holder_of_a_lock_is_waited_for_and_named(tmp_path):
    path = str(tmp_path / "lock")
    assert lock_holder([path]) is None, "no file"
    open(path, "w", encoding="ascii").close()
    assert lock_holder([path]) is None, "nobody"
    with subprocess.Popen([sys.executable, "-c", HOLD_A_LOCK, path], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"held\n"
            holder = lock_holder([str(tmp_path / "absent"), path])
            assert (holder.pid, holder.path) == (process.pid, path) and "fcntl.lockf" in holder.command
            with pytest.raises(PackageError, match=rf"\(pid {process.pid}\) holds {path}, and has for 3 s: let it end"):
                wait_for_locks([path], 3, clock=iter(range(100)).__next__, sleep=lambda _seconds: None)
        finally:
            process.kill()
    assert wait_for_locks([path], 3) < 1


def test_looking_at_a_lock_takes_none(tmp_path):
    path = tmp_path / "lock"
    with path.open("w", encoding="ascii") as file:
        assert lock_holder([str(path)]) is None
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_unattended_updates_are_held_and_let_in_again(tmp_path, monkeypatch):
    apt = _packages_apt.Apt()
    monkeypatch.setattr(apt, "hold_file", replace(apt.hold_file, path=str(tmp_path / "hold")))
    assert apt.held_by() is None
    apt.hold("the upgrade\nof the shop")
    assert apt.held_by() == "the upgrade of the shop"
    assert 'APT::Periodic::Enable "0";' in (tmp_path / "hold").read_text(encoding="utf-8")
    apt.release()
    apt.release()
    assert apt.held_by() is None and os.listdir(tmp_path) == []


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """A systemctl of two timers, one of which is active, and a service that does not start; returns the folder with a file for each active one."""
    active = tmp_path / "active"
    active.mkdir()
    (active / "dnf-automatic.timer").touch()
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(f"""#!/bin/sh
cd {active}
case "$*" in
  "is-active "*) test -e "$2" && echo active || {{ echo inactive; exit 3; }} ;;
  "disable --now "*) rm "$3" ;;
  "enable --now "*) touch "$3" ;;
  "restart broken.service") echo failed >&2; exit 1 ;;
  "restart "*) ;;
  *) exit 64 ;;
esac
""", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return active


def test_dnf_holds_the_timers_that_were_active_and_starts_those_again(tmp_path, monkeypatch, systemctl):
    dnf = _packages_dnf.Dnf()
    monkeypatch.setattr(dnf, "hold_file", replace(dnf.hold_file, path=str(tmp_path / "hold")))
    dnf.hold("first")
    assert os.listdir(systemctl) == [] and dnf.held_by() == "first"
    dnf.hold("second")  # takes over what the first one has stopped
    assert dnf.held_by() == "second"
    dnf.release()
    assert os.listdir(systemctl) == ["dnf-automatic.timer"] and dnf.held_by() is None
    dnf.release()


def test_a_service_that_does_not_start_again_is_told_from_the_others(systemctl):
    assert systemctl.is_dir()
    assert _host_state.restart(["web.service", "broken.service", "dbus.service"], ["dbus*"]) == (["web.service"], ["broken.service"])


def test_a_hold_that_cannot_be_read_or_written_says_so(tmp_path):
    hold = _packages.HoldFile(str(tmp_path / "absent" / "hold"))
    with pytest.raises(PackageError, match="unattended updates cannot be held: .*: set become"):
        hold.write("me", [])
    with pytest.raises(PackageError, match="cannot be read"):
        _packages.HoldFile(str(tmp_path)).owner()
    with pytest.raises(PackageError, match="cannot be let in again"):
        _packages.HoldFile(str(tmp_path)).remove()


def test_a_program_that_fails_is_named_with_what_it_said():
    with pytest.raises(PackageError, match=r"sh -c failed \(3\): no space; left"):
        _packages.run(["sh", "-c", "echo no space >&2; echo left >&2; exit 3"], 10)
    with pytest.raises(PackageError, match="no-such-program is not on this host"):
        _packages.run(["no-such-program"], 10)
    with pytest.raises(PackageError, match="sleep 9 has not ended within 0 s"):
        _packages.run(["sleep", "9"], 0.05)


MAPS = """\
7f00-7f01 r--p 00000000 08:01 1234                       /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)
7f01-7f02 r-xp 00000000 08:01 1235                       /usr/lib/x86_64-linux-gnu/libc.so.6
7f02-7f03 rw-s 00000000 00:05 99                         /memfd:buffer (deleted)
7f03-7f04 rw-s 00000000 00:01 98                         /tmp/scratch (deleted)
7f04-7f05 rw-p 00000000 00:00 0
"""


def test_files_that_were_replaced_under_a_process():
    assert _host_state.outdated_files(MAPS) == ["/usr/lib/x86_64-linux-gnu/libssl.so.3"]


@pytest.mark.parametrize(("cgroup", "unit"), [
    ("0::/system.slice/ssh.service", "ssh.service"),
    ("1:name=systemd:/system.slice/postgresql.service/worker\n0::/\n", "postgresql.service"),
    ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/editor.service", None),
    ("0::/user.slice/user-1000.slice/session-3.scope", None),
])
def test_the_service_of_a_process(cgroup, unit):
    assert _host_state.unit_of(cgroup) == unit


def test_outdated_services_and_the_boot_are_read_from_proc(tmp_path):
    for pid, maps, cgroup in (("10", MAPS, "0::/system.slice/web.service\n"), ("11", "", "0::/system.slice/other.service\n"), ("12", MAPS, "0::/init.scope\n")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "maps").write_text(maps, encoding="utf-8")
        (tmp_path / pid / "cgroup").write_text(cgroup, encoding="utf-8")
    (tmp_path / "13").mkdir()  # it has ended
    (tmp_path / "version").write_text("", encoding="ascii")
    assert _host_state.outdated_services(str(tmp_path)) == ["web.service"]
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("abc\n", encoding="ascii")
    (tmp_path / "1").mkdir()
    (tmp_path / "1/stat").write_text(f"1 (sys temd)) S {' '.join(str(number) for number in range(4, 53))}\n", encoding="ascii")
    assert _host_state.boot_of(str(tmp_path)) == "abc 22"
    assert _host_state.boot_of() == _host_state.boot_of()
