# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the pip bootstrap script that ansible-test downloads: the pip that this Python carries installs what was asked for, without being installed."""

from __future__ import annotations

import ensurepip
import subprocess
import sys
import sysconfig
from pathlib import Path

# Debian keeps the wheels of ensurepip elsewhere.
folders = filter(None, (sysconfig.get_config_var("WHEEL_PKG_DIR"), Path(ensurepip.__file__).parent / "_bundled"))
pips = sorted(str(wheel) for folder in folders for wheel in Path(folder).glob("pip-*.whl"))
wanted = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.run([sys.executable, f"{pips[-1]}/pip", "install", *wanted], check=False).returncode)
