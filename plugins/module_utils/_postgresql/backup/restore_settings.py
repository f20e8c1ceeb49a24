# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a restored server: without the harmful ones of the original server, and with the requested ones. Pure: text in, text out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..._database.backup.record import BackupError
from ..auto_conf import TARGETS, with_settings

NAME = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
# It would archive beside the server that it was, wait for standbys that it does not have, follow that server, stay read only, or stop before the log ends.
# A file in the data directory, or the configuration of another host, may still set these: so each is set here.
HARMLESS = {
    "archive_mode": "off", "default_transaction_read_only": "off", "primary_conninfo": "", "primary_slot_name": "", "synchronous_standby_names": "",
    "restore_command": "", "archive_cleanup_command": "", "recovery_end_command": "", "recovery_min_apply_delay": "0", **dict.fromkeys(TARGETS, ""),
}
# Without hot_standby, hardware with fewer sessions or workers gets through the log as well. The log is in the copy, and nowhere else.
RECOVERING = {"restore_command": "false", "recovery_target_timeline": "current", "hot_standby": "off"}
# What decides whether the recovery gets to the end of the log, or where the server looks for itself.
DECIDED = (*TARGETS, "restore_command", "archive_cleanup_command", "recovery_end_command", "recovery_min_apply_delay", "recovery_target_timeline",
           "recovery_target_action", "recovery_target_inclusive", "hot_standby", "primary_conninfo", "primary_slot_name", "data_directory", "config_file")


def checked(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings as PostgreSQL writes them; BackupError for one that cannot be given."""
    found = {}
    for name, value in settings.items():
        lowered = str(name).lower()
        if not NAME.fullmatch(lowered):
            raise BackupError(f"{name!r} in settings is no name of a setting")
        if lowered in DECIDED:
            raise BackupError(f"settings must not have {lowered}: the restore decides it")
        if isinstance(value, (dict, list)) or value is None or any(character in str(value) for character in "\n\r\0"):
            raise BackupError(f"the value of {lowered} in settings is {value!r}, and has to be one line of text, a number or a truth value")
        found[lowered] = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return found


def recovering(text: str, settings: Mapping[str, str]) -> str:
    """The file's text for the time in which the server goes through the log."""
    return with_settings(text, {**HARMLESS, **settings, **RECOVERING})


def recovered(text: str, settings: Mapping[str, str]) -> str:
    """The file's text from then on."""
    return with_settings(text, {**HARMLESS, **settings}, RECOVERING)
