# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of the release module: it brings the artifact to the host, and only to a host that has not staged the release."""

from __future__ import annotations

import os
import shlex
from typing import Any

from ansible.errors import AnsibleActionFail
from ..module_utils._release.releases import RELEASES
from ..modules import release
from ..plugin_utils._controller.in_worker import ModuleInWorker


class ActionModule(ModuleInWorker):
    """Runs the module with the artifact where the host has no such release, else without, and once more with it when the module finds that it needs it."""

    TRANSFERS_FILES = True
    _supports_async = True
    worked_by = release
    # What stops or starts the service ends before the next run may begin.
    unwound_by = release.ReleaseFailed

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        del tmp
        arguments = dict(self._task.args)
        source = arguments.get("artifact_src")
        if source and self._task.async_val:
            raise AnsibleActionFail("artifact_src cannot be used with async: bring the archive to the host and name it in artifact")
        if not source or arguments.get("artifact") or not self._is_new(arguments):
            answer = self.result_of_module(arguments, task_vars)
            if not source or not answer.get("needs_artifact"):
                return answer
        del arguments["artifact_src"]
        return self.result_of_module({**arguments, "artifact": self._brought(source)}, task_vars)

    def _is_new(self, arguments: dict[str, Any]) -> bool:
        """Whether the host has no release of that version. One command finds out, which costs less than a run of the module. False when it is unknown."""
        root, version = arguments.get("root"), arguments.get("version")
        if not (isinstance(root, str) and isinstance(version, str) and version and os.path.isabs(root)):
            return False
        place = self._connection._shell.join_path(root, RELEASES, version)
        return self._low_level_execute_command(f"test -e {shlex.quote(place)}").get("rc") == 1

    def _brought(self, source: str) -> str:
        """Where the archive is on the host, readable for the user that the module runs as. It goes with the task's temporary folder."""
        local = self._loader.get_real_file(self._find_needle("files", source))
        if os.path.exists(local) and not os.path.isfile(local):
            raise AnsibleActionFail(f"artifact_src {source} is no regular file: a pipe or a device is not waited for")
        shell = self._connection._shell
        if not shell.tmpdir:
            self._make_tmp_path()
        path = shell.join_path(shell.tmpdir, "artifact.tar.gz")
        self._transfer_file(local, path)
        self._fixup_perms2((shell.tmpdir, path))
        return path
