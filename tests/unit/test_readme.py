# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's example of a fleet is the lab's: whatever it shows is there, too."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(Path(__file__).parent)]

from bench import pictures
from lab import inventory
from lab.keys import Keys
from lab.layout import VIRTUAL_ADDRESS
from sample_run import sample_run

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.summary import summarise


def example(begin: str) -> dict:
    """The YAML of the README that begins with this line."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return yaml.safe_load(next(block for block in blocks if block.startswith(begin)))


def missing(shown: object, real: object, path: str = "") -> list[str]:
    """What is shown and not so in reality; keys that are not shown do not count."""
    if isinstance(shown, dict) and isinstance(real, dict):
        return [problem for key, value in shown.items() for problem in (missing(value, real[key], f"{path}/{key}") if key in real else [f"{path}/{key}"])]
    return [] if shown == real else [f"{path}: {shown!r} is {real!r}"]


def test_the_inventory_is_the_labs(tmp_path):
    inventory.write(tmp_path, Keys(tmp_path / "keys"))
    real = yaml.safe_load((tmp_path / "inventory" / "hosts.yml").read_text(encoding="utf-8"))
    shown = example("all:")
    assert missing(shown, real) == []
    for group in ("load_balancers", "app", "databases"):
        assert sorted(shown["all"]["children"][group]["hosts"]) == sorted(real["all"]["children"][group]["hosts"]), group


def test_the_description_is_the_labs():
    real = yaml.safe_load((REPOSITORY / "tests" / "lab" / "service.yml").read_text(encoding="utf-8"))
    shown = example("upgrade_service:")
    assert len(shown) > 6 and set(shown) <= set(real)
    assert shown["upgrade_artifact_sha256"] == real["upgrade_artifact_sha256"]
    assert shown["upgrade_smoke_tests"][0]["path"] in {test["path"] for test in real["upgrade_smoke_tests"]}
    assert shown["upgrade_probe"]["targets"][0] == f"http://{VIRTUAL_ADDRESS}"


def shape(block: str) -> list[str]:
    """Its lines without their figures and bars: what a change of the output changes."""
    lines = [re.sub(r"[▁▂▃▄▅▆▇█░]+", "", line) for line in block.splitlines()]
    return [" ".join(re.sub(r"\d[\d,.]*|\b(min|ms|s|h)\b", "", line).split()) for line in lines]


def test_what_the_demo_shows_at_its_end_is_what_it_shows_today():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    shown = pictures.BEGIN + readme.partition(pictures.BEGIN)[2].partition(pictures.END)[0] + pictures.END
    today = pictures.snippet(summarise(sample_run()))
    assert len(shape(shown)) > 10
    assert shape(shown) == shape(today), "run tests/bench/pictures.py"
    assert pictures.in_readme(readme, shown) == readme
    with pytest.raises(SystemExit, match=r"README.md has no"):
        pictures.in_readme("nothing", shown)
