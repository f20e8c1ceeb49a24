# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel on a real terminal device, read by a terminal that refuses what it does not know."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import threading

import pytest
from tiny_terminal import TinyTerminal

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller.panel import Panel
import contextlib


class Device:
    """A terminal device with sys.stdout on it, and the terminal behind it."""

    def __init__(self, columns: int = 40, rows: int = 10) -> None:
        self.master, self.slave = pty.openpty()
        self.terminal = TinyTerminal(columns, rows)
        self.stream = open(self.slave, "w", encoding="utf-8", closefd=False)
        self._set_size(columns, rows)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns: int, rows: int) -> None:
        self.seen()
        self._set_size(columns, rows)
        self.terminal.resize(columns, rows)

    def raw(self) -> str:
        data = b""
        while select.select([self.master], [], [], 0.1)[0]:
            data += os.read(self.master, 65536)
        return data.decode("utf-8").replace("\r\r\n", "\r\n")

    def seen(self) -> TinyTerminal:
        return self.terminal.feed(self.raw())

    def opened(self) -> Panel:
        """An open panel, with sys.stdout on the terminal: here and not in a fixture, because pytest sets sys.stdout again before each test."""
        sys.stdout = self.stream
        self.panel = Panel(self.slave)
        self.panel.open()
        return self.panel


@pytest.fixture
def device():
    device, before = Device(), (sys.stdout, sys.stderr)
    yield device
    sys.stdout, sys.stderr = before
    for handle in (device.master, device.slave):
        with contextlib.suppress(OSError):
            os.close(handle)


def visible(device: Device) -> list[str]:
    return [line for line in device.seen().lines if line]


def test_lines_go_above_the_panel_and_the_panel_stays_at_the_bottom(device):
    panel = device.opened()
    panel.draw(["one", "two"])
    assert visible(device) == ["one", "two"]
    print("first", "second")
    print("third")
    panel.draw(["one", "two", "three"])
    assert visible(device) == ["first second", "third", "one", "two", "three"]
    panel.draw(["only"])
    assert visible(device) == ["first second", "third", "only"]
    for number in range(30):
        print(f"line {number}")
    assert visible(device) == [f"line {number}" for number in range(22, 30)] + ["only"]
    assert [line for line in device.terminal.history if line] == ["first second", "third"] + [f"line {number}" for number in range(22)]
    panel.close(keep=True)
    print("after", file=sys.stdout, flush=True)
    assert visible(device)[-2:] == ["only", "after"] and device.terminal.is_as_before


def test_the_terminal_is_as_before_after_every_single_write(device):
    panel = device.opened()
    checked = 0
    for number in range(5):
        panel.draw([f"picture {number}"])
        assert device.seen().is_as_before
        print("a line")
        assert device.seen().is_as_before
        checked += 2
    assert checked == 10
    attributes = termios.tcgetattr(device.slave)
    assert attributes[3] & termios.ECHO and attributes[3] & termios.ICANON


def test_a_panel_that_is_not_kept_goes_without_a_trace(device):
    panel = device.opened()
    print("before")
    panel.draw(["one", "two"])
    panel.close(keep=False)
    assert visible(device) == ["before"] and sys.stdout is device.stream and not panel.is_open
    panel.draw(["not open"])
    assert visible(device) == ["before"]


def test_a_line_without_its_end_waits_and_is_not_lost(device):
    panel = device.opened()
    panel.draw(["panel"])
    sys.stdout.write("half ")
    assert visible(device) == ["panel"]
    sys.stdout.write("and half\nrest")
    assert visible(device) == ["half and half", "panel"]
    panel.close(keep=True)
    assert "rest" in visible(device)


def test_long_lines_wrap_above_and_are_cut_in_the_panel(device):
    panel = device.opened()
    panel.draw(["p" * 60, "q"])
    print("x" * 50)
    panel.draw(["p" * 60, "q"])
    shown = visible(device)
    assert shown[:2] == ["x" * 40, "x" * 10] and shown[2].startswith("p" * 39) and shown[3] == "q" and len(shown) == 4


@pytest.mark.parametrize("size", [(20, 10), (60, 10), (40, 6), (40, 20), (15, 5)], ids=str)
def test_after_a_change_of_size_nothing_is_twice_and_nothing_is_lost(device, size):
    panel = device.opened()
    print("older")
    print("a line of more than twenty columns")
    panel.draw(["one", "two"])
    device.resize(*size)
    print("newer")
    panel.draw(["one", "two"])
    shown = visible(device)
    assert shown[-3:] == ["newer", "one", "two"] and shown.count("one") == 1
    device.resize(40, 10)
    panel.draw(["one", "two"])
    shown = visible(device)
    assert shown[-5:] == ["older", "a line of more than twenty columns", "newer", "one", "two"][-len(shown):] and shown.count("one") == 1
    assert "older" in device.terminal.everything and "newer" in device.terminal.everything


def test_a_typed_line_end_does_not_leave_half_a_panel_behind(device, monkeypatch):
    panel = device.opened()
    typed = iter([0, 0, 0])
    monkeypatch.setattr(panel, "_typed_ahead", lambda: next(typed, 5))
    panel.close(keep=False)
    panel.open()
    print("older")
    panel.draw(["one", "two"])
    device.seen().feed("hello\r\n")
    panel.draw(["one", "two"])
    shown = visible(device)
    assert shown == ["older", "one", "two"]


def test_errors_go_above_too_when_they_are_on_the_same_terminal(device):
    stderr = sys.stderr = open(device.slave, "w", encoding="utf-8", closefd=False)
    panel = device.opened()
    panel.draw(["panel"])
    print("an error", file=sys.stderr)
    assert visible(device) == ["an error", "panel"]
    panel.close(keep=True)
    assert sys.stderr is stderr


def test_errors_that_go_elsewhere_stay_there(device, tmp_path):
    panel = device.opened()
    with (tmp_path / "errors").open("w", encoding="utf-8") as file:
        sys.stderr = file
        panel.close(keep=False)
        panel.open()
        assert sys.stderr is file and sys.stdout is not device.stream


def test_a_terminal_that_is_gone_ends_nothing(device):
    panel = device.opened()
    panel.draw(["one"])
    device.seen()
    os.close(device.master)
    print("nobody reads this")
    panel.draw(["two"])
    assert panel.lost


def test_a_fork_does_not_wait_for_the_panels_lock(device):
    """A worker is forked while the thread that collects results holds the lock: in the worker nobody will ever give it back."""
    panel = device.opened()
    held, release = threading.Event(), threading.Event()

    def hold():
        with panel._lock:
            held.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    child = os.fork()
    if child == 0:
        sys.stdout.write("from the child\n")
        os._exit(0)
    ended = False
    for _attempt in range(100):
        pid, _status = os.waitpid(child, os.WNOHANG)
        ended = pid == child
        if ended:
            break
        release.wait(0.1)
    if not ended:
        os.kill(child, 9)
        os.waitpid(child, 0)
    release.set()
    thread.join()
    assert ended


def test_what_else_a_stream_can_do_is_the_streams(device):
    _panel = device.opened()
    assert sys.stdout.isatty() and sys.stdout.fileno() == device.slave and sys.stdout.encoding.lower() == "utf-8" and sys.stdout.buffer is device.stream.buffer
    sys.stdout.flush()


def test_a_line_as_wide_as_the_terminal_keeps_its_last_character(device):
    """After the last column is written, the cursor still stands on it: what clears to the end of the line then takes that character away."""
    device.opened().draw(["x" * 40])
    raw = device.raw()
    assert "x" * 40 in raw and "x" * 40 + "\x1b[K" not in raw
    device.panel.close(keep=True)
