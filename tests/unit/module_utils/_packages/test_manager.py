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
from ansible_collections.alwayson.upgrade.plugins.module_utils._packages import apt as packages_apt, dnf as packages_dnf, manager as packages_manager, reboot
from ansible_collections.alwayson.upgrade.plugins.module_utils._packages.manager import (
    PackageError, Update, brought, lock_holder, missing, selection_of, wait_for_locks,
)
from ansible_collections.alwayson.upgrade.plugins.modules import package_updates
from run_module import run_module

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
    updates = {update.name: update for update in packages_apt.parse_simulation(APT, {"tzdata"})}
    assert sorted(updates) == ["lib32gcc:i386", "libssl3", "linux-image-6.1.0-28-amd64", "openssl", "tzdata"]
    assert (updates["libssl3"].installed, updates["libssl3"].candidate) == ("3.0.15-1~deb12u1", "3.0.17-1~deb12u2")
    assert {name for name, update in updates.items() if update.security} == {"libssl3", "openssl"}
    assert [name for name, update in updates.items() if update.held] == ["tzdata"]
    assert updates["linux-image-6.1.0-28-amd64"].installed is None


def test_nothing_to_install_is_an_empty_list():
    assert packages_apt.parse_simulation("Reading package lists...\n0 upgraded, 0 newly installed\n", set()) == []
    assert packages_dnf.parse_updates("", "", INSTALLED) == []


def test_what_dnf_would_install():
    updates = {update.name: update for update in packages_dnf.parse_updates(DNF, ADVISORIES, INSTALLED)}
    assert sorted(updates) == ["kernel", "openssl-libs", "vim-minimal"]
    assert (updates["openssl-libs"].installed, updates["openssl-libs"].candidate) == ("1:3.0.7-27.el9", "1:3.2.2-6.el9_5.1")
    assert {name for name, update in updates.items() if update.security} == {"kernel", "openssl-libs"}


# What dnf 4.14 printed, with tlib excluded and best=False.
TRANSACTION = """\
Dependencies resolved.
====================================================================================================
 Package                                                                      Arch    Version
                                                                                            Repo
                                                                                                Size
====================================================================================================
Upgrading:
 a-very-long-package-name-that-surely-does-not-fit-into-the-line-of-a-table   noarch  2.0-1 r  5.6 k
 tother                                                                       noarch
                                                                                      1:2.0-1
                                                                                            r
                                                                                                5.4 k
     replacing  told.noarch 1.0-1
Installing dependencies:
 tnew                                                                         noarch  1.0-1 r  5.4 k
Skipping packages with broken dependencies:
 tapp                                                                         noarch  2.0-1 r  5.4 k

Transaction Summary
====================================================================================================
Install  1 Package
"""


def test_what_dnf_leaves_out_is_not_announced():
    pending = [Update("tother", "1.0-1", "1:2.0-1", security=True), Update("tapp", "1.0-1", "2.0-1")]
    updates = packages_dnf.parse_transaction(TRANSACTION, pending)
    assert [(update.name, update.installed, update.candidate, update.security) for update in updates] == [
        ("a-very-long-package-name-that-surely-does-not-fit-into-the-line-of-a-table", None, "2.0-1", False), ("tother", "1.0-1", "1:2.0-1", True),
        ("tnew", None, "1.0-1", False)]
    assert [update.name for update in selection_of(updates, pending).left] == ["tapp"]
    assert packages_dnf.parse_transaction("Dependencies resolved.\nNothing to do.\n", pending) == []
    with pytest.raises(PackageError, match=r"lists no transaction: .*nothing provides"):
        packages_dnf.parse_transaction("Error:\n nothing provides tlib\n", pending)


def test_a_later_version_than_the_advisory_has_its_fix():
    later = DNF.replace("1:3.2.2-6.el9_5.1 ", "1:3.2.2-7.el9 ")
    assert [update.name for update in packages_dnf.parse_updates(later, ADVISORIES, INSTALLED) if update.security] == ["kernel", "openssl-libs"]


FAKE_DNF = """#!/bin/sh
case "$*" in
  "--quiet check-update") printf 'tapp.noarch 2.0-1 r\\ntlib.noarch 2.0-1 r\\ntother.noarch 2.0-1 r\\n'; exit 100 ;;
  "--quiet updateinfo list --security --available") echo "X-1 Moderate/Sec. tapp-2.0-1.noarch" ;;
  "--assumeno --setopt=best=False --exclude=tl* upgrade tapp-2.0-1 tother-2.0-1")
    printf 'Upgrading:\\n tother noarch 2.0-1 r 5 k\\nSkipping packages with broken dependencies:\\n tapp noarch 2.0-1 r 5 k\\n\\n'
    printf 'Transaction Summary\\n'; exit 1 ;;
  "--assumeyes --setopt=best=False --exclude=tl* upgrade tother-2.0-1") echo tother.noarch 2.0-1 > "$0.tother" ;;
  "--quiet needs-restarting --reboothint") echo "$REBOOT"; exit 1 ;;
  *) echo "$*" >&2; exit 64 ;;
esac
"""


@pytest.fixture
def fake_dnf(tmp_path, monkeypatch):
    rpm = f"#!/bin/sh\necho tapp.noarch 1.0-1; echo tlib.noarch 1.0-1; cat {tmp_path}/dnf.tother 2>/dev/null || echo tother.noarch 1.0-1\n"
    for name, text in (("dnf", FAKE_DNF), ("rpm", rpm)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return packages_dnf.Dnf()


def test_dnf_leaves_out_what_is_excluded_also_as_a_dependency(fake_dnf):
    selection = fake_dnf.select(security_only=False, exclude=["tl*"])
    assert ([update.name for update in selection.updates], [update.name for update in selection.left]) == (["tother"], ["tapp", "tlib"])
    before = fake_dnf.versions()
    fake_dnf.install(selection)
    after = fake_dnf.versions()
    assert [update.as_dict() for update in brought(before, after, selection)] == [update.as_dict() for update in selection.updates]
    assert missing(before, selection) == list(selection.updates) and missing(after, selection) == []


def test_dnf_without_its_plugin_does_not_say_that_no_reboot_is_needed(fake_dnf, monkeypatch):
    monkeypatch.setenv("REBOOT", "No such command: needs-restarting.")
    with pytest.raises(PackageError, match="install dnf-plugins-core"):
        fake_dnf.reboot_reasons()
    monkeypatch.setenv("REBOOT", "Core libraries or services have been updated since boot-up:\n  * kernel\n\n"
                                 "Reboot is required to fully utilize these updates.")
    assert fake_dnf.reboot_reasons() == ["kernel"]


@pytest.mark.parametrize(("said", "reasons"), [
    ("No core libraries or services have been updated.\nReboot is probably not necessary.", []),
    ("No core libraries or services have been updated since boot-up.\nReboot should not be necessary.", []),
    (("Core libraries or services have been updated since boot-up:\n  * kernel-core\n  * glibc (2.34)\n\nReboot is required to fully utilize these updates.\n"
     "More information: https://access.redhat.com/solutions/27943"), ["glibc", "kernel-core"]),
    ("Reboot is required to fully utilize these updates.", ["unknown"]),
])
def test_what_dnf_says_of_a_reboot_is_understood_or_an_error(fake_dnf, monkeypatch, said, reasons):
    monkeypatch.setenv("REBOOT", said)
    assert fake_dnf.reboot_reasons() == reasons
    for unclear in ("A reboot may be a good idea.", "", "error: cannot open the rpm database; reboot and try again"):
        monkeypatch.setenv("REBOOT", unclear)
        with pytest.raises(PackageError, match="does not report"):
            fake_dnf.reboot_reasons()


@pytest.mark.parametrize("state", ["held", "installed", "released"])
def test_a_host_that_cannot_tell_of_a_reboot_is_refused_before_anything_is_changed(fake_dnf, monkeypatch, tmp_path, capsys, state):
    monkeypatch.setenv("REBOOT", "No such command: needs-restarting.")
    monkeypatch.setattr(packages_dnf.Dnf, "hold_file", replace(fake_dnf.hold_file, path=str(tmp_path / "hold")))
    (tmp_path / "hold").write_text("us\n", encoding="ascii")
    result = run_module(package_updates.main, capsys, manager="dnf", state=state, owner="us" if state == "released" else "them", refresh=False,
                        restart_services=False)
    assert bool(result.get("failed")) == (state != "released") and (tmp_path / "hold").exists() == (state != "released")
    assert not (tmp_path / "dnf.tother").exists()


def test_what_a_transaction_brought_is_read_from_the_installed_versions():
    selection = selection_of([Update("a", "1", "2", security=True), Update("b", "1", "2")], [Update("c", "1", "2", held=True)])
    before = {"a": frozenset("1"), "b": frozenset("1"), "c": frozenset("1"), "kernel": frozenset("1")}
    after = {"a": frozenset("2"), "b": frozenset("1"), "c": frozenset("2"), "kernel": frozenset("12"), "new": frozenset("9")}
    assert [(update.name, update.installed, update.candidate, update.security) for update in brought(before, after, selection)] == [
        ("a", "1", "2", True), ("c", "1", "2", False), ("kernel", "1", "2", False), ("new", None, "9", False)]
    assert [update.name for update in missing(after, selection)] == ["b"]


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
            with pytest.raises(PackageError, match=rf"\(pid {process.pid}\) holds {path}, and has held it for 3 s: wait for its end"):
                wait_for_locks([path], 3, clock=iter(range(100)).__next__, sleep=lambda _seconds: None)
        finally:
            process.kill()
    assert wait_for_locks([path], 3) < 1


def test_looking_at_a_lock_takes_none(tmp_path):
    path = tmp_path / "lock"
    with path.open("w", encoding="ascii") as file:
        assert lock_holder([str(path)]) is None
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_pin_that_cannot_be_exceeded_is_named(tmp_path, monkeypatch):
    """Nothing that is asked of apt then leaves the package out."""
    pin = "Package: openssl\nPin: version 3*\nPin-Priority: 32767\n"
    for name, text in (("a.pref", pin.replace("32767", "990")), ("b.pref", pin)):
        (tmp_path / "preferences.d").mkdir(exist_ok=True)
        (tmp_path / "preferences.d" / name).write_text(text, encoding="ascii")
    monkeypatch.setattr(packages_apt, "PREFERENCES", str(tmp_path / "preferences"))
    calls = []

    def printed(command, _seconds, *_more):
        calls.append(command)
        assert len(calls) < 10, "it never ends"
        return "" if command[0] == "apt-mark" else APT

    monkeypatch.setattr(packages_apt, "run", printed)
    with pytest.raises(PackageError, match=rf"^openssl 3.0.17-1~deb12u2 cannot be left out: .* \({tmp_path}/preferences.d/b.pref\). Lower it there to 1001"):
        packages_apt.Apt().select(security_only=False, exclude=["openssl"])


def test_a_file_in_another_encoding_is_read_as_apt_reads_it(tmp_path, monkeypatch):
    (tmp_path / "preferences").write_bytes(b"# f\xfcr openssl\n")
    monkeypatch.setattr(packages_apt, "PREFERENCES", str(tmp_path / "preferences"))
    with packages_apt._preferences("Package: *\n\n") as options, open(options[1].partition("=")[2], "rb") as file:
        assert file.read() == b"Package: *\n\n# f\xfcr openssl\n"
    (tmp_path / "hold").write_bytes(b"// Held by J\xfcrgen\n")
    assert replace(packages_apt.Apt.hold_file, path=str(tmp_path / "hold")).owner() == "J\ufffdrgen"
    (tmp_path / "reboot.pkgs").write_bytes(b"linux\n\xfc\n")
    (tmp_path / "reboot").touch()
    monkeypatch.setattr(packages_apt, "REBOOT_REQUIRED", str(tmp_path / "reboot"))
    assert packages_apt.Apt().reboot_reasons() == ["linux", "\ufffd"]


def test_unattended_updates_are_held_and_let_in_again(tmp_path, monkeypatch):
    apt = packages_apt.Apt()
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
    dnf = packages_dnf.Dnf()
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
    assert reboot.restart(["web.service", "broken.service", "dbus.service"], ["dbus*"]) == (["web.service"], ["broken.service"])


def test_a_hold_that_cannot_be_read_or_written_says_so(tmp_path):
    hold = packages_manager.HoldFile(str(tmp_path / "absent" / "hold"))
    with pytest.raises(PackageError, match=r"unattended updates cannot be held: .*: set become"):
        hold.write("me", [])
    with pytest.raises(PackageError, match="cannot be read"):
        packages_manager.HoldFile(str(tmp_path)).owner()
    with pytest.raises(PackageError, match="cannot be allowed again"):
        packages_manager.HoldFile(str(tmp_path)).remove()


def test_a_program_that_fails_is_named_with_what_it_said():
    with pytest.raises(PackageError, match=r"sh -c failed \(3\): no space; left"):
        packages_manager.run(["sh", "-c", "echo no space >&2; echo left >&2; exit 3"], 10)
    with pytest.raises(PackageError, match="no-such-program is not on this host"):
        packages_manager.run(["no-such-program"], 10)
    with pytest.raises(PackageError, match="sleep 9 has not ended within 0 s"):
        packages_manager.run(["sleep", "9"], 0.05)


MAPS = """\
7f00-7f01 r--p 00000000 08:01 1234                       /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)
7f01-7f02 r-xp 00000000 08:01 1235                       /usr/lib/x86_64-linux-gnu/libc.so.6
7f02-7f03 rw-s 00000000 00:05 99                         /memfd:buffer (deleted)
7f03-7f04 rw-s 00000000 00:01 98                         /tmp/scratch (deleted)
7f04-7f05 rw-p 00000000 00:00 0
"""


def test_files_that_were_replaced_under_a_process():
    assert reboot.outdated_files(MAPS) == ["/usr/lib/x86_64-linux-gnu/libssl.so.3"]


@pytest.mark.parametrize(("cgroup", "unit"), [
    ("0::/system.slice/ssh.service", "ssh.service"),
    ("1:name=systemd:/system.slice/postgresql.service/worker\n0::/\n", "postgresql.service"),
    ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/editor.service", None),
    ("0::/user.slice/user-1000.slice/session-3.scope", None),
])
def test_the_service_of_a_process(cgroup, unit):
    assert reboot.unit_of(cgroup) == unit


def test_outdated_services_and_the_boot_are_read_from_proc(tmp_path):
    for pid, maps, cgroup in (("10", MAPS, "0::/system.slice/web.service\n"), ("11", "", "0::/system.slice/other.service\n"), ("12", MAPS, "0::/init.scope\n")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "maps").write_text(maps, encoding="utf-8")
        (tmp_path / pid / "cgroup").write_text(cgroup, encoding="utf-8")
    (tmp_path / "13").mkdir()  # it has ended
    (tmp_path / "version").write_text("", encoding="ascii")
    assert reboot.outdated_services(str(tmp_path)) == ["web.service"]
    (tmp_path / "sys/kernel/random").mkdir(parents=True)
    (tmp_path / "sys/kernel/random/boot_id").write_text("abc\n", encoding="ascii")
    (tmp_path / "1").mkdir()
    (tmp_path / "1/stat").write_text(f"1 (sys temd)) S {' '.join(str(number) for number in range(4, 53))}\n", encoding="ascii")
    assert reboot.boot_of(str(tmp_path)) == "abc 22"
    assert reboot.boot_of() == reboot.boot_of()
