# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: start the embedded fleet, upgrade it under load with the collection's own playbook, stop everything, say what users noticed."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
COLLECTIONS = REPOSITORY / "build" / "collections"
sys.path[:0] = [str(REPOSITORY / "tests"), str(COLLECTIONS)]

from fleet.embedded import EmbeddedFleet
from fleet.layout import BACKEND, BLUE_GREEN

from ansible_collections.alwayson.upgrade.plugins.plugin_utils._report.summary import terminal_summary

# A method's own description of the service, and the pools of its fleet.
METHODS = {"half_pool": None, "rolling": None, "canary": None, "blue_green": REPOSITORY / "tests/fleet/blue_green.yml"}
RELEASES = {"2.0.0": "2.0.0", "bad": "2.0.1"}
# A playbook that does not end after the first Ctrl-C is ended after this.
GRACE_S = 30


def main() -> int:
    options = _options()
    directory = REPOSITORY / "build" / options.directory
    with interruptible():
        try:
            code = _demo(directory, options)
        except KeyboardInterrupt:
            print("interrupted: everything that was started is stopped", file=sys.stderr)
            return 130
    _say_how_it_went(directory, code)
    return code


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=tuple(METHODS), default="half_pool")
    parser.add_argument("--release", choices=sorted(RELEASES), default="2.0.0", help="bad: a release that fails its smoke test")
    parser.add_argument("--directory", default="demo", help="below build/")
    parser.add_argument("--min-requests", type=int, default=12000, help="measure until at least so many requests were scheduled")
    parser.add_argument("--contract", action="store_true", help="also run the contract migrations, after which there is no way back")
    return parser.parse_args()


def _demo(directory: Path, options: argparse.Namespace) -> int:
    started = time.monotonic()
    for leftover in ("report.html", "report.json"):
        (directory / leftover).unlink(missing_ok=True)
    description = METHODS[options.method]
    with EmbeddedFleet(directory, pools=BLUE_GREEN if description else (BACKEND,), is_replicated=True) as fleet:
        print(f"The fleet is up in {time.monotonic() - started:.0f} s: 2 HAProxy, {len(fleet.layout.members)} application servers in 2 zones, "
              f"PostgreSQL with 2 tenant databases and a standby{', behind PgBouncer' if 'pooler' in fleet.running() else ''}.")
        try:
            return run_playbook("upgrade", directory, {
                **(yaml.safe_load(description.read_text(encoding="utf-8")) if description else {}),
                "upgrade_release": RELEASES[options.release], "upgrade_method": options.method, "demo_min_requests": options.min_requests,
                "upgrade_contract": options.contract, "upgrade_database_standbys": 1,
            }, environment={"ANSIBLE_STDOUT_CALLBACK": "alwayson.upgrade.rollout"})
        finally:
            stop_probe(directory / "probe")


def run_playbook(name: str, directory: Path, variables: dict, *, ansible_playbook: str | None = None, output=None,
                 environment: dict[str, str] | None = None, working_directory: Path | None = None) -> int:
    """Run one of the collection's playbooks against the fleet in *directory*; returns its exit status.

    :param ansible_playbook: another virtual environment's program.
    :param output: a file for what it says, instead of the terminal.
    :param environment: more variables for its environment.
    :param working_directory: where the operator stands, by default in *directory*.
    """
    process = begin_playbook(name, directory, variables, ansible_playbook=ansible_playbook, output=output, environment=environment,
                             working_directory=working_directory)
    try:
        return process.wait()
    except KeyboardInterrupt:
        end_playbook(process)
        raise


def begin_playbook(name: str, directory: Path, variables: dict, *, ansible_playbook: str | None = None, output=None,
                   environment: dict[str, str] | None = None, working_directory: Path | None = None) -> subprocess.Popen:
    """Start a playbook as `run_playbook` does, in a process group of its own."""
    command = [
        "nice", "-n", "5",  # the fleet and its prober come first on a small machine
        ansible_playbook or str(Path(sys.executable).with_name("ansible-playbook")), f"alwayson.upgrade.{name}",
        "--inventory", str(directory / "inventory.yml"), "--extra-vars", f"@{REPOSITORY / 'tests/fleet/service.yml'}",
        "--extra-vars", json.dumps({"demo_directory": str(directory), "demo_repository": str(REPOSITORY), **variables}),
    ]
    return subprocess.Popen(command, cwd=working_directory or directory, env={**playbook_environment(directory), **(environment or {})},
                            stdin=subprocess.DEVNULL, stdout=output, stderr=output and subprocess.STDOUT, start_new_session=True)


def playbook_environment(directory: Path) -> dict[str, str]:
    """Ansible's own files stay below *directory*; what it says stays short."""
    ansible = directory / "ansible"
    ansible.mkdir(parents=True, exist_ok=True)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_HOME": str(ansible), "ANSIBLE_LOCAL_TEMP": str(ansible / "tmp"), "ANSIBLE_REMOTE_TEMP": str(ansible / "remote"),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_FORKS": "6", "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false", "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml", "ANSIBLE_LOCALHOST_WARNING": "false",
        # ansible-core announces at every run that strategies outside its own collection may go; the README says what that means here.
        "ANSIBLE_DEPRECATION_WARNINGS": "false", "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8",
    }


def stop_probe(directory: Path) -> None:
    """End a prober that a stopped playbook left behind: asked through its module, which knows its process."""
    if (directory / "probe.pid").exists():
        probe(directory, "stopped")


def probe(directory: Path, state: str, **options: object) -> subprocess.CompletedProcess:
    """Start, look at or stop a prober of one's own through its module, without a playbook."""
    return subprocess.run(probe_command(directory, state, **options), env=playbook_environment(directory.parent), capture_output=True, text=True, check=False,
                          timeout=120)


def probe_command(directory: Path, state: str, **options: object) -> list[str]:
    """The command that does so."""
    return [str(Path(sys.executable).with_name("ansible")), "localhost", "-m", "alwayson.upgrade.availability_probe",
            "-a", json.dumps({"state": state, "directory": str(directory), **options})]


def end_playbook(process: subprocess.Popen) -> None:
    """Interrupt the playbook as a user at a terminal would, then insist."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=GRACE_S)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


@contextmanager
def interruptible():
    """SIGTERM and SIGHUP end the demo as Ctrl-C does, so that it cleans up on every way out."""
    def interrupt(_number, _frame):
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_how_it_went(directory: Path, code: int) -> None:
    report = directory / "report.json"
    if not report.exists():
        print(f"The playbook ended with {code} before a report was written; see the messages above.", file=sys.stderr)
        return
    facts = json.loads(report.read_text(encoding="utf-8"))
    print()
    print(terminal_summary(facts, width=100))
    print(f"\n{report.relative_to(REPOSITORY)}\n{(directory / 'report.html').relative_to(REPOSITORY)}")


if __name__ == "__main__":
    sys.exit(main())
