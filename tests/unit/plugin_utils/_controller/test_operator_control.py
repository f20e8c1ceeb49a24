# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's word, and what stands in its place."""

from __future__ import annotations

import os

import pytest
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._controller.operator_control import ABORT, GO, PAUSE, read_control


@pytest.mark.parametrize(("content", "word"), [("go", GO), (" Abort\n", ABORT), ("pause", PAUSE), ("", GO), ("wait", PAUSE), ("\udcff", PAUSE)])
def test_a_word(tmp_path, content, word):
    (tmp_path / "control").write_text(content, encoding="utf-8", errors="surrogateescape")
    assert read_control(str(tmp_path / "control")) == word


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize(("mode", "word"), [(0o1777, PAUSE), (0o2775, ABORT), (0o755, ABORT)])
def test_a_word_of_another_account_counts_where_not_everybody_may_write(tmp_path, mode, word):
    (tmp_path / "control").write_text("abort", encoding="ascii")
    tmp_path.chmod(mode)
    assert read_control(str(tmp_path / "control")) == ABORT
    os.chown(tmp_path / "control", 4711, 4711)
    assert read_control(str(tmp_path / "control")) == word


def test_nothing_is_go_and_what_is_no_file_is_a_pause(tmp_path):
    assert read_control(None) == read_control(str(tmp_path / "none")) == GO
    os.mkfifo(tmp_path / "pipe")
    assert read_control(str(tmp_path / "pipe")) == read_control(str(tmp_path)) == PAUSE
