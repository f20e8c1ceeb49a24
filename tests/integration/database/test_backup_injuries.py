# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench of injured backups, once through every kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench" / "database" / "injuries.py"
SCHEMAS = BENCH.with_name("schemas.py")


@pytest.mark.thorough
def test_every_kind_of_injury_is_refused_once():
    command = [sys.executable, str(BENCH), "--times", "1", "--unharmed", "1", "--rows", "500"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "47 of 47 injured backups refused" in done.stdout
    assert done.stdout.count("taken under load            1    1") == 4


@pytest.mark.parametrize(("engine", "seeds"), [("sqlite", 8), pytest.param("postgresql", 6, marks=pytest.mark.thorough),
                                               pytest.param("mariadb", 6, marks=pytest.mark.thorough)])
def test_strange_schemas_are_proven_and_come_back(engine, seeds):
    command = [sys.executable, str(SCHEMAS), "--engine", engine, "--seeds", str(seeds)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{engine}: {seeds} databases of " in done.stdout and " 0 refused, 0 differ," in done.stdout
