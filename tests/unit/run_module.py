# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module's main() in this process, as Ansible would, and returns what it answers."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args


def run_module(main, capsys, check_mode: bool = False, **params) -> dict:
    """Call `main` with `params`; return its result. Fails the test when the module does not end by itself."""
    arguments = {**params, "_ansible_check_mode": check_mode, "_ansible_diff": True, "_ansible_remote_tmp": "/tmp", "_ansible_keep_remote_files": False}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        main()
    return json.loads(capsys.readouterr().out)
