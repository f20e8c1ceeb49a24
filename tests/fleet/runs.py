# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a playbook's run showed to whoever ran it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass
class Run:
    """Its exit status, what it printed, and the folder of its report."""

    code: int
    output: str
    directory: Path

    @property
    def changed(self) -> dict[str, int]:
        """Host to its changed count, from the recap."""
        return {host: int(changed) for host, _ok, changed, _lost, _failed in RECAP.findall(self.output)}

    @property
    def words(self) -> str:
        """The output as one line, so that wrapped sentences can be searched."""
        return " ".join(self.output.split())

    @property
    def report(self) -> dict:
        return json.loads((self.directory / "report.json").read_text(encoding="utf-8"))
