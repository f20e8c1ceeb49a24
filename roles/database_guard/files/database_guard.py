# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a PostgreSQL server may be started as it is, asked of its peers: `database_guard.py CONFIGURATION [check]`.

A service runs it before it starts the server. A server that was a primary and whose place another one has taken must not take writes again. Exit status:

    0  it may start: it is a standby by itself, or peers say that they are standbys, and promote none of them in this moment
    2  the configuration, or a program, is of no use
    3  a peer takes writes, or another server was promoted: database_rejoin has it follow
    4  nobody knows

`check` asks the peers, and starts nothing: 0 when every one has answered. The configuration is a JSON file:

    {"data_directory": "/var/lib/postgresql/15/main", "bin_dir": "/usr/lib/postgresql/15/bin", "user": "upgrade", "database": "postgres",
     "sslmode": "prefer", "peers": [{"name": "db2", "host": "10.0.0.52", "port": 5432}], "answers": 1, "unknown": "refuse",
     "override": "/var/lib/alwayson/main.start", "wait_seconds": 30}
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import select
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

MAY_START, UNUSABLE, REFUSED, UNKNOWN = 0, 2, 3, 4
KEYS = {"data_directory", "bin_dir", "user", "database", "sslmode", "peers", "answers", "unknown", "override", "wait_seconds"}
ASK_SECONDS, PAUSE_SECONDS = 5, 0.5
# How long a peer that let this server start is not promoted. The server binds its port well before that, and a failover sees it then.
HOLD_SECONDS = 10
# A promotion whose process has died a moment ago is over within this time: the lock is held by nobody, and the standby is one still.
CERTAIN_SECONDS = 2
# The key that database_switchover holds while it promotes a standby.
PROMOTION_LOCK = 4909207133501

FACTS = """
SELECT s.system_identifier, pg_is_in_recovery(), (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_read_only'),
       greatest(c.timeline_id, r.min_recovery_end_timeline, (SELECT received_tli FROM pg_stat_wal_receiver))
  FROM pg_control_system() AS s, pg_control_checkpoint() AS c, pg_control_recovery() AS r
"""
UNLIMITED = """
SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout', 'client_connection_check_interval')
"""
# The session outlives this program, which its service manager does not let outlive itself: it sleeps, and sees the end of its client when it wakes.
HOLD = f"""
DO $$BEGIN
  IF NOT pg_try_advisory_lock({PROMOTION_LOCK}) THEN RAISE NOTICE 'guard: busy';
  ELSE
    PERFORM pg_sleep({CERTAIN_SECONDS});
    IF NOT pg_is_in_recovery() THEN RAISE NOTICE 'guard: promoted';
    ELSE RAISE NOTICE 'guard: held'; PERFORM pg_sleep({HOLD_SECONDS}); END IF;
  END IF;
END$$
"""
NOTICE = re.compile(rb"guard: (\w+)")


class GuardError(Exception):
    """The configuration, or a program, is of no use. The message says what to correct."""


def main() -> int:
    """The exit status."""
    try:
        path, checking = sys.argv[1], sys.argv[2:] == ["check"]
        if len(sys.argv) > 2 and not checking:
            raise IndexError
        options = read_options(path)
        become_owner(options["data_directory"])
        status, why = check(options) if checking else decide(options)
    except IndexError:
        status, why = UNUSABLE, "usage: database_guard.py CONFIGURATION [check]"
    except (GuardError, OSError, subprocess.SubprocessError) as error:
        status, why = UNUSABLE, str(error)
    print(f"database_guard: {why}", file=sys.stderr)
    return status


def read_options(path: str) -> dict:
    """The configuration; GuardError when it is none."""
    try:
        with open(path, encoding="utf-8") as file:
            options = json.load(file)
    except (OSError, ValueError) as error:
        raise GuardError(f"the configuration {path} cannot be read: {error}") from error
    wrong = sorted(KEYS ^ set(options)) if isinstance(options, dict) else sorted(KEYS)
    if wrong:
        raise GuardError(f"the configuration {path} lacks these keys, or should not have them: {', '.join(wrong)}")
    if not options["peers"] or not all({"name", "host"} <= set(peer) <= {"name", "host", "port"} for peer in options["peers"]):
        raise GuardError(f"the configuration {path} has to name at least one of the peers, each with name and host, and a port unless that is 5432")
    if options["unknown"] not in ("refuse", "start") or not 1 <= options["answers"] <= len(options["peers"]):
        raise GuardError(f"in the configuration {path}, unknown has to be refuse or start, and answers from 1 to the number of peers")
    return options


def become_owner(data_directory: str) -> None:
    """Go on as the account of the server, with the passwords that it keeps, where a service runs this as root."""
    owner = os.stat(data_directory)
    if os.geteuid() or not owner.st_uid:
        return
    os.setgroups([])
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)
    with contextlib.suppress(KeyError):
        os.environ["HOME"] = pwd.getpwuid(owner.st_uid).pw_dir


def decide(options: dict) -> tuple[int, str]:
    """Whether the server may start, and why."""
    override = take_override(options["override"])
    if os.path.exists(os.path.join(options["data_directory"], "standby.signal")):
        return MAY_START, "the server is a standby, and takes no writes"
    own = own_control(options)
    give_up = time.monotonic() + (0 if override else options["wait_seconds"])
    while True:
        answers = ask_all(options)
        status, why = verdict(own, answers, options["answers"])
        if status == MAY_START:
            problem = hold_all(options, [answer["name"] for answer in answers if answer.get("standby")])
            status, why = (UNKNOWN, problem) if problem else (status, why)
        if status != UNKNOWN or time.monotonic() >= give_up:
            break
        time.sleep(PAUSE_SECONDS)
    if status != UNKNOWN:
        return status, why
    if override:
        return MAY_START, f"{why}. {options['override']} exists, and allows one start"
    if options["unknown"] == "start":
        return MAY_START, f"{why}. It starts nevertheless, because unknown is start"
    return UNKNOWN, (f"the server is not started: {why}. Check the peers. If none of them takes writes, and none will, allow one start: "
                     f"touch {options['override']}")


def check(options: dict) -> tuple[int, str]:
    """What each peer is; `UNKNOWN` unless all have answered."""
    own = own_control(options)
    answers = ask_all(options)
    shown = "; ".join(describe(own, answer) for answer in answers)
    return (MAY_START if all(not unusable(own, answer) for answer in answers) else UNKNOWN), shown


def take_override(path: str) -> bool:
    """Whether an operator lets it start this once; it counts for one start only, whether it was needed or not."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def own_control(options: dict) -> dict:
    """The server's own system_identifier and timeline."""
    command = [os.path.join(options["bin_dir"], "pg_controldata"), "-D", options["data_directory"]]
    done = subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = dict(re.findall(r"^(.*?):\s+(\S+)$", done.stdout, re.MULTILINE))
    try:
        timeline = max(int(found["Latest checkpoint's TimeLineID"]), int(found["Min recovery ending loc's timeline"]))
        return {"system_identifier": found["Database system identifier"], "timeline": timeline}
    except (KeyError, ValueError) as error:
        raise GuardError(f"{' '.join(command)} does not tell what the server is: {(done.stdout + done.stderr).strip()[-300:]}") from error


def verdict(own: dict, answers: list[dict], needed: int) -> tuple[int, str]:
    """What the answers of the peers mean for a server that is no standby by itself."""
    shown = "; ".join(describe(own, answer) for answer in answers)
    for answer in answers:
        if unusable(own, answer):
            continue
        if answer["takes_writes"]:
            return REFUSED, f"the server is not started, because {answer['name']} takes writes in its place. Make it a standby with database_rejoin ({shown})"
        if answer["timeline"] > own["timeline"]:
            return REFUSED, (f"the server is not started, because {answer['name']} is on timeline {answer['timeline']} and this one on {own['timeline']}: "
                             f"another server was promoted since. Make it a standby of that one with database_rejoin ({shown})")
    standbys = [answer for answer in answers if not unusable(own, answer) and answer["standby"]]
    if len(standbys) >= needed:
        return MAY_START, f"the server may start: {shown}"
    return UNKNOWN, f"{len(standbys)} of {len(answers)} peers report that they are standbys, and {needed} must ({shown})"


def unusable(own: dict, answer: dict) -> str:
    """Why an answer says nothing about this server's place; empty when it does."""
    if answer.get("error"):
        return answer["error"]
    if answer["system_identifier"] != own["system_identifier"]:
        return f"is of the system identifier {answer['system_identifier']}, and this server of {own['system_identifier']}"
    return ""


def describe(own: dict, answer: dict) -> str:
    """A peer in a sentence."""
    role = unusable(own, answer) or ("is a standby" if answer["standby"] else "takes writes" if answer["takes_writes"] else "is read only")
    return f"{answer['name']} {role}"


def ask_all(options: dict) -> list[dict]:
    """What every peer says, all of them asked at once: `name`, and `error`, or `system_identifier`, `standby`, `takes_writes` and `timeline`."""
    with ThreadPoolExecutor(max_workers=len(options["peers"])) as threads:
        return list(threads.map(lambda peer: ask(options, peer), options["peers"]))


def ask(options: dict, peer: dict) -> dict:
    """What one peer says."""
    try:
        done = subprocess.run([*psql(options, peer), "-c", FACTS], env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=ASK_SECONDS)
        if done.returncode:
            return {"name": peer["name"], "error": f"does not answer ({' '.join(done.stderr.split())[-200:]})"}
        identifier, standby, read_only, timeline = done.stdout.strip().split("|")
        return {"name": peer["name"], "system_identifier": identifier, "standby": standby == "t", "takes_writes": standby == "f" and read_only == "off",
                "timeline": int(timeline)}
    except subprocess.TimeoutExpired:
        return {"name": peer["name"], "error": f"does not answer within {ASK_SECONDS} s"}
    except ValueError:
        return {"name": peer["name"], "error": f"answers {done.stdout.strip()[:100]!r}"}


def hold_all(options: dict, names: list[str]) -> str:
    """Have each of these standbys not be promoted while this server starts; a sentence when one will not have it."""
    for peer in options["peers"]:
        if peer["name"] in names and (said := hold(options, peer)) != "held":
            return f"{peer['name']} is being promoted, or another server is starting ({said})"
    return ""


def hold(options: dict, peer: dict) -> str:
    """What the standby says to that: held, busy or promoted."""
    command = [*psql(options, peer), "-c", UNLIMITED, "-c", "SET client_min_messages = notice", "-c", HOLD]
    give_up, said = time.monotonic() + ASK_SECONDS, b""
    with subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            while not NOTICE.search(said) and select.select([process.stderr], [], [], max(0, give_up - time.monotonic()))[0]:
                more = os.read(process.stderr.fileno(), 4096)
                if not more:
                    break
                said += more
        finally:
            # Not in order: the session is to go on without it.
            process.kill()
    found = NOTICE.search(said)
    return found[1].decode("ascii") if found else " ".join(said.decode("utf-8", "replace").split())[-200:] or "no answer"


def psql(options: dict, peer: dict) -> list[str]:
    """The beginning of a command line. Passwords are in the server's account's own password file."""
    given = {"host": peer["host"], "port": peer.get("port", 5432), "user": options["user"], "dbname": options["database"], "sslmode": options["sslmode"],
             "connect_timeout": 3, "application_name": "alwayson.upgrade guard"}
    conninfo = " ".join("{0}='{1}'".format(key, str(value).replace("\\", "\\\\").replace("'", "\\'")) for key, value in given.items())
    return [os.path.join(options["bin_dir"], "psql"), "-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d", conninfo]


def environment() -> dict:
    """Without what would change the answers."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PG") or name == "PGPASSFILE"}, "LC_ALL": "C"}


if __name__ == "__main__":
    sys.exit(main())
