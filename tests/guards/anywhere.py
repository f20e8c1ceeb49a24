# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of what holds on any fleet: words of HAProxy's command line, a hand-over that keeps what it was set to, a roll whose hosts change, folders."""

from __future__ import annotations

from guards.guard import Guard

CORE, PURE = "plugins/module_utils", "plugins/plugin_utils"
UNIT, REAL = "tests/unit/module_utils", "tests/integration/haproxy"
WAYS = "tests/integration/haproxy/test_handover_ways_real.py"
MAP = f"{UNIT}/_traffic/kinds/haproxy/test_map.py"
WORDS = f"{UNIT}/_traffic/kinds/haproxy/test_words.py"
FILES = f"{UNIT}/_traffic/kinds/haproxy/test_pattern_files.py"
MASTER = f"{UNIT}/_traffic/kinds/haproxy/test_master.py"
CONFIG = f"{UNIT}/_host/test_config_file.py"
HAPROXY = f"{UNIT}/_traffic/kinds/haproxy/test_balancer.py"
META = "tests/unit/plugin_utils/_controller/test_meta_actions.py"
PROBE = "tests/unit/modules/test_availability_probe.py"
PLAN = "tests/unit/plugin_utils/_plan"

ANYWHERE = (
    Guard("words, escaped", "a path ends a word of HAProxy's command line", (WORDS, MAP), (
        (f"{CORE}/_traffic/kinds/haproxy/words.py", 'return _SPECIAL.sub(r"\\\\\\g<0>", text)', "return text"),)),
    Guard("words, impossible", "a text of two lines is a word", (WORDS,), (
        (f"{CORE}/_traffic/kinds/haproxy/words.py", "    if _IMPOSSIBLE.search(text) or not _is_unicode(text):\n", "    if False:\n"),)),
    Guard("words, long lines", "a line is longer than HAProxy's buffer", (HAPROXY,), (
        (f"{CORE}/_traffic/kinds/haproxy/words.py", "LINE_BYTES = 8000", "LINE_BYTES = 800000"),)),
    Guard("words, answers", "an empty line in a description ends an answer", (HAPROXY,), (
        (f"{CORE}/_traffic/kinds/haproxy/balancer.py", 'answer.partition(f"\\n\\n{STATES_HEADING}")', 'answer.partition("\\n\\n")'),)),
    Guard("words, map's lines", "a map's line is read as people read it", (FILES,), (
        (f"{CORE}/_traffic/kinds/haproxy/pattern_files.py", 'None if line.startswith("#") else _ENTRY', 'None if line.lstrip().startswith("#") else _ENTRY'),)),
    Guard("words, one socket", "one load balancer by two paths is two", (f"{UNIT}/test_load_balancers.py",), (
        (f"{CORE}/_traffic/interface.py", '("endpoint", _place_of)', '("endpoint", str)'),)),
    Guard("paths, real ones", "a root that is a link is a layout of other means", (f"{UNIT}/_release/test_releases.py",), (
        (f"{CORE}/_release/releases.py", "os.path.realpath(os.path.dirname(target)) != os.path.realpath(os.path.join(root, RELEASES))",
         "os.path.dirname(target) != os.path.join(root, RELEASES)"),)),
    Guard("user's files, link", "a link to a file becomes a file", (CONFIG,), (
        (f"{CORE}/_host/config_file.py", "    path = os.path.realpath(path)\n    was = os.stat(path)\n", "    was = os.stat(path)\n"),)),
    Guard("user's files, access list", "a file loses its access control list", (CONFIG,), (
        (f"{CORE}/_host/config_file.py", "was.st_gid), attributes_of(path))", "was.st_gid))"),)),
    Guard("user's files, group", "an operator of the file's group is refused", (CONFIG,), (
        (f"{CORE}/_host/config_file.py", "            _open_to_writers(handle, os.path.dirname(lock))\n", ""),)),
    Guard("user's files, bytes", "line ends become others", (CONFIG,), (
        (f"{CORE}/_host/config_file.py", 'content.decode("utf-8", "surrogateescape")',
         'content.decode("utf-8", "surrogateescape").replace("\\r\\n", "\\n")'),)),
    Guard("user's files, undo", "a map that is taken back is another one", (MAP,), (
        (f"{CORE}/_traffic/kinds/haproxy/map.py", "after = before if text == written and kept_route(before, key) == value else", "after ="),)),
    Guard("hand-over, route", "a route that the process alone has is lost", (WAYS,), (
        (f"{CORE}/_traffic/kinds/haproxy/handover.py", "    if lost and loses is None:\n", "    if False:\n"),)),
    Guard("hand-over, bytes", "bytes that are no UTF-8 are others in the process than in its file",
          (f"{UNIT}/_traffic/kinds/haproxy/test_handover.py", HAPROXY), (
              (f"{CORE}/_traffic/kinds/haproxy/runtime.py", '.decode("utf-8", "surrogateescape")', '.decode("utf-8", "replace")'),)),
    Guard("hand-over, command line", "the configuration is checked by another command line", (WAYS, MASTER), (
        (f"{CORE}/_traffic/kinds/haproxy/master.py", '    return [before.program, "-c", *kept]\n', '    return [before.program, "-c", *kept[-2:]]\n'),)),
    Guard("hand-over, environment", "the configuration is checked with another environment", (WAYS, MASTER), (
        (f"{CORE}/_traffic/kinds/haproxy/master.py", "cwd=before.folder, env=environment,\n", "cwd=before.folder,\n"),)),
    Guard("hand-over, large files", "a file that cannot be compared is taken for the same", (f"{UNIT}/_traffic/kinds/haproxy/test_handover.py",), (
        (f"{CORE}/_traffic/kinds/haproxy/handover.py", 'different = [f"cannot be compared with what the process has: {error}"]\n', "different = []\n"),)),
    Guard("hand-over, signal", "a master that ignores the signal yet is taken for one that was asked", (f"{UNIT}/_traffic/kinds/haproxy/test_handover.py",), (
        (f"{CORE}/_traffic/kinds/haproxy/handover.py", "    _require_listening(balancer, before.master, clock, timeout)\n", ""),)),
    Guard("hand-over, failed", "a worker of before a reload that failed is taken for the new one", (f"{REAL}/test_handover_real.py",), (
        (f"{CORE}/_traffic/kinds/haproxy/master.py", 'samefile(f"/proc/{self.worker}/exe", self.program)',
         'samefile(f"/proc/{self.master}/exe", self.program)'),
        (f"{CORE}/_traffic/kinds/haproxy/master.py", 'os.readlink(f"/proc/{worker}/exe"), os', 'os.readlink(f"/proc/{master}/exe"), os'),)),
    Guard("hand-over, account", "root runs what another account has chosen", (MASTER,), (
        (f"{CORE}/_traffic/kinds/haproxy/master.py", "account = before.account if before.account and os.geteuid() == 0 else None", "account = None"),)),
    Guard("hand-over, reason", "what is wrong with a configuration is not reported", (WAYS, MASTER), (
        (f"{CORE}/_traffic/kinds/haproxy/master.py", '        elif word != "-q":\n', "        else:\n"),)),
    Guard("hand-over, another program", "a process that is no HAProxy is signalled", (MASTER,), (
        (f"{CORE}/_traffic/kinds/haproxy/master.py", "return content.find(_MARK.encode(\"ascii\")) >= 0", "return True"),)),
    Guard("roll, inventory", "an inventory that is being refreshed is looked at", (META,), (
        (f"{PURE}/_controller/meta_actions.py", "    fresh = copy.copy(inventory)\n    del fresh.refresh_inventory\n    fresh.refresh_inventory()\n",
         "    fresh, old = inventory, copy.copy(inventory)\n    del fresh.refresh_inventory\n    fresh.refresh_inventory()\n    inventory = old\n"),)),
    Guard("roll, same hosts", "a host of a refreshed inventory is another host", (META,), (
        (f"{PURE}/_controller/meta_actions.py", "        fresh.get_host(name)._uuid = inventory.get_host(name)._uuid\n", "        pass\n"),)),
    Guard("roll, meta", "an action that nobody knows is let through", (META,), (
        (f"{PURE}/_controller/meta_actions.py", "    if action in ACTIONS:\n", "    if action not in REFUSED:\n"),)),
    Guard("roll, errors of others", "the errors of hosts in flight are cleared", (META,), (
        (f"{PURE}/_controller/meta_actions.py", "everybody - set(in_flight) | {host}", "everybody"),)),
    Guard("roll, results", "results that do not arrive any more are waited for", ("tests/unit/plugin_utils/_controller/test_dead_results.py",), (
        (f"{PURE}/_controller/dead_results.py", "    if strategy._results_thread.is_alive() or strategy._results:\n", "    if True:\n"),)),
    Guard("folders, believed", "a folder in which others may write says which process to end", (PROBE,), (
        (f"{CORE}/_probe/process.py", "    if others:\n", "    if False:\n"),)),
    Guard("folders, access list", "whom an access control list lets write is nobody", (f"{UNIT}/_host/test_writers.py",), (
        (f"{CORE}/_host/writers.py", "    if ACCESS_LIST not in attributes:\n", "    if True:\n"),)),
    Guard("folders, left behind", "what another account has left in a folder is believed", (f"{UNIT}/_host/test_writers.py",), (
        (f"{CORE}/_host/writers.py", "    if not is_trusted(owner):\n", "    if False:\n"),)),
    Guard("folders, our process", "a process that is no prober is ended", (PROBE,), (
        (f"{CORE}/_probe/process.py", " and _writes_here(process.pid, directory) else None", " else None"),)),
    Guard("folders, server", "a link to a server's data has that server ended", (f"{UNIT}/_postgresql/test_scratch_server.py",), (
        (f"{CORE}/_postgresql/scratch_server.py", 'if os.readlink(f"/proc/{number}/cwd") == data:',
         'if os.path.realpath(os.readlink(f"/proc/{number}/cwd")) == os.path.realpath(data):'),)),
    Guard("folders, figures", "figures that others may have written let a roll go on", (PROBE,), (
        (f"{CORE}/_probe/live_figures.py", "            if other_writers(directory):\n", "            if False:\n"),)),
    Guard("folders, operator", "anybody ends a roll", ("tests/unit/plugin_utils/_controller/test_operator_control.py",), (
        ("plugins/plugin_utils/_controller/operator_control.py", "not is_trusted(os.fstat(file.fileno()).st_uid) and", "False and"),)),
    Guard("folders, umask", "a folder is as open as the umask lets it be", (f"{UNIT}/_host/test_writers.py",), (
        (f"{CORE}/_host/small_files.py", "        os.mkdir(path, mode)\n", "        os.mkdir(path)\n"),)),
    Guard("folders, lock", "everybody may write where the lock is, and nobody says so", ("tests/unit/modules/test_fleet_lock_module.py",), (
        (f"{CORE}/_host/writers.py", "return other_writers(path) if not is_ours", 'return "" if not is_ours'),)),
    Guard("types, group", "a list where the name of a group is wanted ends in an error about types", (f"{PLAN}/test_blue_green.py",), (
        ("plugins/plugin_utils/_plan/blue_green.py", "list(groups.get(group, ())) if isinstance(group, str) else []", "list(groups.get(group, ()))"),)),
    Guard("types, prefix", "a plan names the variables of the strategy", (f"{PLAN}/test_plan.py",), (
        ("plugins/plugin_utils/_schedule/choice.py", "{self._pool.prefix}max_per_domain allows", "rolling_max_per_domain allows"),)),
)
