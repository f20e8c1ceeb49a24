# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby takes over from its primary while the poolers hold the clients: they wait for a moment, and lose nothing."""

from __future__ import annotations

from typing import Sequence

from ansible_collections.alwayson.upgrade.plugins.module_utils._database_node import Node
from ansible_collections.alwayson.upgrade.plugins.module_utils._database_window import RETRY_MOST_MS, RETRY_SETTING, SWITCHOVER, SwitchoverError, Window

IN_SYNC = ("sync", "quorum")


class Switchover(Window):
    """`old` is the primary, `new` the standby that takes over."""

    KIND = SWITCHOVER

    def survey(self) -> bool:
        """See `Window.survey`."""
        with self.old.opened(), self.new.opened():
            return self._survey()

    def _nodes(self) -> Sequence[Node]:
        return self.old, self.new

    def _look_again(self) -> None:
        super()._look_again()
        if self.old.is_in_recovery() or not self.old.is_fenced():
            raise SwitchoverError(f"{self.old} is not read only any more, so it may have acknowledged what {self.new} has not: somebody else changed it")

    def _is_complete(self) -> bool:
        return self.result.synchronous or "replayed" in self.result.steps

    def _act(self) -> None:
        self._hold()
        self.old.fence()
        self._reached("fenced")
        self.result.lsn = self.old.end_of_log()
        self._wait(lambda: self.new.has_replayed(self.result.lsn), f"{self.new} does not get to {self.result.lsn}, where the log of {self.old} ends")
        self._reached("replayed")
        self._promote()

    def _survey(self) -> bool:
        was, follows = self.old.position(), self.new.position()
        if was.system_identifier != follows.system_identifier:
            raise SwitchoverError(f"{self.new} is no copy of {self.old}: their system identifiers differ. Give a standby of it")
        if was.in_recovery and not follows.in_recovery:
            self._require_followed()
            return False
        if not was.in_recovery and not follows.in_recovery:
            return self._require_fenced()
        if was.in_recovery:
            raise SwitchoverError(f"both are standbys: {self.old} and {self.new}. Give the primary, and a standby of it")
        self._require_pointed(self.old, self.new)
        self._require_ready()
        return True

    def _require_fenced(self) -> bool:
        """Both are primaries: it was done, and the old one follows nobody yet."""
        if not self.old.is_fenced():
            raise SwitchoverError(f"both take writes: {self.old} and {self.new}. Stop one of them before more goes its own way")
        self._require_followed()
        self.result.warnings.append(f"{self.old} takes no writes and follows nobody: have it follow {self.new}")
        return False

    def _require_ready(self) -> None:
        name = self.new.streams_as()
        rows = [row for row in self.old.replicas() if row["name"] == name and row["state"] == "streaming"]
        if not name or not rows:
            raise SwitchoverError(f"{self.new} does not stream from {self.old}: repair the replication first")
        self.result.synchronous = rows[0]["sync_state"] in IN_SYNC
        behind = self.new.bytes_behind(self.old.position().lsn)
        if behind > self.limits.lag_bytes:
            raise SwitchoverError(f"{self.new} lags {behind} bytes behind {self.old}, and {self.limits.lag_bytes} are allowed: wait until it has caught up")
        lasting = self.old.old_transactions(self.limits.transaction_seconds)
        if lasting:
            raise SwitchoverError(f"a pause would wait for transactions on {self.old}: {'; '.join(lasting)}. Wait for their end, or end them")
        retry = int(self.new.setting(RETRY_SETTING))
        if retry > RETRY_MOST_MS:
            self.result.warnings.append(f"{RETRY_SETTING} is {retry} ms on {self.new}: now and then its promotion waits for so long. Set it to 100ms")

    def _prepare(self) -> None:
        """What both have in common is as young as can be, for the old one to follow later."""
        self.old.checkpoint()
        self._wait_for_nobody()
