# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument specs of the modules, as they give them to Ansible."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host import ansible_module

FOLDER = Path(ansible_module.__file__).parents[2] / "modules"
MODULES = sorted(path.stem for path in FOLDER.glob("*.py"))


class SpecError(Exception):
    """Carries the argument spec of a module that was to begin."""


def spec_of(name: str, monkeypatch) -> tuple[dict, dict]:
    """What a module gives to Ansible's constructor: its argument spec, and all else."""
    module = importlib.import_module(f"ansible_collections.alwayson.upgrade.plugins.modules.{name}")

    def take(argument_spec, **more):
        raise SpecError(argument_spec, more)

    with monkeypatch.context() as patched:
        patched.setattr(module, "AnsibleModule", take)
        with pytest.raises(SpecError) as found:
            module.main()
    return found.value.args
