# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards against the traps of moving traffic: each was met on a real load balancer, and is a test on one."""

from __future__ import annotations

from guards.guard import Guard

CORE = "plugins/module_utils"
REAL = "tests/integration/haproxy"

TRAPS = (
    Guard("trap 1", "a drain alone lets bound clients in: no maintenance after it", (f"{REAL}/test_traffic_real.py",), (
        (f"{CORE}/_traffic/drain.py", "        self._pool.change(views.maint_changes(self._pool.now, members))\n", ""),)),
    Guard("trap 2", "a reload hides requests in flight: old workers are not asked", (f"{REAL}/test_reload_real.py",), (
        (f"{CORE}/_traffic/kinds/haproxy/balancer.py", "return self._old_workers.added_to(view, backend) if self._old_workers else view", "return view"),)),
    Guard("lingering", "a connection in an old worker brings a request to a member that left: such connections do not count", (
        f"{REAL}/test_reload_real.py",), (
        (f"{CORE}/_traffic/drain.py", "return _is_cut_off(member) and member.lingering == 0", "return _is_cut_off(member)"),)),
    Guard("trap 3", "out of maintenance a server is up at once: its health is not set down", (f"{REAL}/test_traffic_real.py",), (
        (f"{CORE}/_traffic/kinds/haproxy/balancer.py", '"set server {server} state drain", "set server {server} health down"',
         '"set server {server} state drain",'),
        (f"{CORE}/_traffic/kinds/haproxy/stats.py", "    if not row.get(\"check_health\"):\n        return True\n", "    return True\n"))),
    Guard("trap 4", "an agent check overrules the command line: nobody warns", (f"{REAL}/test_agent_real.py",), (
        (f"{CORE}/_traffic/drain.py", "if pool.members[name].agent:", "if False:"),)),
    Guard("trap 4, drift", "an agent brings its server back: what is seen is not compared with what was set", (f"{REAL}/test_agent_real.py",), (
        (f"{CORE}/_traffic/pool.py", "if self.member((balancer, name)).admin != admin]", "if False]"),)),
    Guard("trap 8", "a reload forgets the servers' states: the state file is not written", (f"{REAL}/test_reload_real.py",), (
        (f"{CORE}/_traffic/kinds/haproxy/balancer.py", "        if not self._state_file:\n            return\n", "        return\n"),)),
    Guard("trap 8, maps", "a reload brings the old route back: the map's file is not written", (f"{REAL}/test_route_real.py",), (
        (f"{CORE}/_traffic/kinds/haproxy/map.py", "        if not self._is_kept:\n            return\n", "        return\n"),)),
    Guard("trap 9", "fewer servers are up than were drained: the live ones are not counted", ("tests/unit/module_utils", f"{REAL}/test_traffic_real.py"), (
        (f"{CORE}/_traffic/drain.py",
         "        if short:\n            return short\n        pool.change(changes)\n        short = views.short_of_floor(pool.now, leaving, floor)\n",
         "        pool.change(changes)\n        short = ''\n"),)),
    Guard("trap 10", "an unknown server is no error", (f"{REAL}/test_traffic_real.py",), (
        (f"{CORE}/_traffic/interface.py",
         "    if unknown:\n        raise LoadBalancerError(f\"{balancer} has no member",
         "    if False:\n        raise LoadBalancerError(f\"{balancer} has no member"),)),
    Guard("two load balancers", "the proof of the first one counts for all", ("tests/unit/module_utils", f"{REAL}/test_traffic_real.py"), (
        (f"{CORE}/_traffic/pool.py", "for balancer in self.now for name in members):", "for balancer in list(self.now)[:1] for name in members):"),)),
    Guard("reload, reads", "HAProxy's master re-executes itself: what it did not answer is not asked again",
          ("tests/unit/module_utils/_traffic/kinds/haproxy/test_balancer.py",), (
              (f"{CORE}/_host/patience.py", "                if error.may_be_done and not may_repeat:\n", "                if True:\n"),)),
    Guard("reload, cut short", "an answer that is cut short counts as one", ("tests/unit/module_utils/_traffic/kinds/haproxy/test_balancer.py",), (
        (f"{CORE}/_traffic/kinds/haproxy/runtime.py", "        if not self._is_whole(answer):\n", "        if False:\n"),)),
    Guard("reload, proof", "the process that a reload replaces proves a state", ("tests/unit/module_utils/_traffic/kinds/haproxy/test_workers.py",), (
        (f"{CORE}/_traffic/kinds/haproxy/workers.py", "        if process and process not in workers.current:\n", "        if False:\n"),)),
    Guard("reload, lost changes", "what a reload has lost is not asked for again", ("tests/unit/module_utils/_traffic/test_drain_out.py",), (
        (f"{CORE}/_traffic/pool.py", "                if self.processes[balancer] == before[balancer]:\n", "                if True:\n"),)),
    Guard("changes, twice", "a change that must not be made twice is asked for again", ("tests/unit/module_utils/_host/test_json_api.py",), (
        (f"{CORE}/_host/patience.py", "                if error.may_be_done and not may_repeat:\n                    raise\n", ""),)),
    Guard("places", "every member that is drained takes a session", ("tests/unit/module_utils/_traffic/kinds/haproxy/test_session_places.py",), (
        (f"{CORE}/_traffic/kinds/haproxy/session_places.py", "PLACES = 4", "PLACES = 400"),)),
    Guard("a look", "the first look is the verdict", ("tests/unit/modules/test_traffic_info_module.py",), (
        ("plugins/modules/traffic_info.py", "        if not members_down(seen, wanted) or clock.steady() >= give_up:\n", "        if True:\n"),)),
    Guard("worker, user", "a worker does what is asked of it as another user", ("tests/unit/action/test_traffic_actions.py",), (
        ("plugins/plugin_utils/_controller/in_worker.py", " or self._connection.become or", " or"),)),
    Guard("worker, interpreter", "a worker takes the place of another interpreter", ("tests/unit/action/test_traffic_actions.py",), (
        ("plugins/plugin_utils/_controller/in_worker.py", "        return chosen in NOT_CHOSEN or ", "        return True or "),)),
    Guard("worker, secrets", "what a worker's result repeats of its options is seen", ("tests/unit/action/test_traffic_actions.py",), (
        ("plugins/plugin_utils/_controller/in_worker.py", "{**masked(answer), **deciding}", "{**answer, **deciding}"),)),
    Guard("worker, its end", "a worker that is ended goes on", ("tests/unit/action/test_traffic_actions.py",), (
        ("plugins/plugin_utils/_controller/in_worker.py", "        if received:\n            os.kill(os.getpid(), received[0])\n", ""),)),
    Guard("worker, settings", "a worker takes the place of the interpreter that the settings name", ("tests/unit/action/test_results_of_a_worker.py",), (
        ("plugins/plugin_utils/_controller/in_worker.py", "constants.config.get_config_value(INTERPRETER, variables=own)",
         'own.get("ansible_python_interpreter")'),)),
    Guard("worker, folder", "a worker finds relative paths elsewhere than the module", ("tests/unit/action/test_results_of_a_worker.py",), (
        ("plugins/plugin_utils/_controller/in_worker.py", "contextlib.chdir(self._loader.get_basedir()), ", ""),)),
    Guard("worker, release", "a worker that is ended leaves the command that starts the service", ("tests/unit/action/test_results_of_a_worker.py",), (
        ("plugins/action/release.py", "    unwound_by = release.ReleaseFailed\n", ""),)),
    Guard("loaded, driver", "a look at a database loads the driver that takes longest", ("tests/unit/test_loaded_files.py",), (
        (f"{CORE}/_postgresql/session.py", "reversed(DRIVERS) if is_brief else DRIVERS", "DRIVERS"),)),
    Guard("loaded, engine", "a look at a database loads what backs it up", ("tests/unit/test_loaded_files.py",), (
        (f"{CORE}/_postgresql/server.py", "from . import catalog\n", "from . import catalog, scratch_server\n"),)),
    Guard("canary, its return", "a skipped task hides when a canary came back", ("tests/unit/test_member_tasks.py",), (
        ("playbooks/tasks/upgrade_member.yml", "alwayson_canary_in if alwayson_analysed else pool_member_in | default({})", "pool_member_in | default({})"),)),
    Guard("a route", "what a reload has read before it was written stays", ("tests/unit/module_utils/_traffic/test_route.py",), (
        (f"{CORE}/_traffic/route.py", "ATTEMPTS = 3", "ATTEMPTS = 1"),)),
)
