# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make what the README shows from a run of today: `make demo`, then docs/report.png by a headless Chromium, then the end of the run between the README's marks.

    build/venv/bin/python tests/bench/pictures.py            run the demo, and make both
    build/venv/bin/python tests/bench/pictures.py --keep     of the last `make demo`, without running it again
    build/venv/bin/python tests/bench/pictures.py --keep --method blue_green --picture build/blue_green.png
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "build" / "collections")]

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.summary import terminal_summary

README = REPOSITORY / "README.md"
BEGIN, END = "<!-- the end of make demo, by tests/bench/pictures.py -->", "<!-- until here -->"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The page's column and its margins; down to the end of the members' picture.
WIDTH, HEIGHT, SCALE = 1060, 1900, 1
BROWSER_SECONDS = 60


def snippet(report: dict, width: int = 100) -> str:
    """What a terminal shows at the end of `make demo`, as the README's block."""
    lines = [line.rstrip() for line in terminal_summary(report, width).splitlines()]
    return "\n".join([BEGIN, "```console", "$ make demo", "...", *lines, "```", END])


def in_readme(text: str, block: str) -> str:
    """The README with this block between its marks."""
    before, mark, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not mark or not end:
        raise SystemExit(f"README.md has no {BEGIN} ... {END}")
    return before + block + after


def render(page: Path, picture: Path) -> bool:
    """The page as a picture; False where no browser is installed."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"{picture} was not made: none of {', '.join(BROWSERS)} is installed (apt-get install chromium)", file=sys.stderr)
        return False
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}",
                        f"--force-device-scale-factor={SCALE}", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}", page.as_uri()],
                       check=True, capture_output=True, timeout=BROWSER_SECONDS)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="half_pool")
    parser.add_argument("--directory", default="demo", help="below build/")
    parser.add_argument("--keep", action="store_true", help="do not run the demo again")
    parser.add_argument("--picture", type=Path, default=REPOSITORY / "docs" / "report.png", help="the README is left alone when this is another one")
    options = parser.parse_args()
    folder = REPOSITORY / "build" / options.directory
    if not options.keep:
        subprocess.run([sys.executable, str(REPOSITORY / "tests" / "fleet" / "demo.py"), "--method", options.method, "--directory", options.directory],
                       check=False)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    if not report["ok"]:
        raise SystemExit(f"{folder / 'report.json'} is not ok: {report['problems']}")
    is_made = render(folder / "report.html", options.picture.absolute())
    if options.picture == parser.get_default("picture"):
        README.write_text(in_readme(README.read_text(encoding="utf-8"), snippet(report)), encoding="utf-8")
    return 0 if is_made else 1


if __name__ == "__main__":
    sys.exit(main())
