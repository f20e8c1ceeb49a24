# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guards of drains on each kind of load balancer: what its configuration has to look like, what may serve behind the proof's back, what is put back."""

from __future__ import annotations

from guards.guard import Guard

CORE, UNIT = "plugins/module_utils", "tests/unit/module_utils"
NGINX = (f"{UNIT}/_traffic/kinds/nginx/test_balancer.py",)
ENVOY = (f"{UNIT}/_traffic/kinds/envoy/test_balancer.py",)
TRAEFIK = (f"{UNIT}/_traffic/kinds/test_traefik.py",)
CADDY = (f"{UNIT}/_traffic/kinds/caddy/test_balancer.py",)
HTTP = (f"{UNIT}/_traffic/kinds/test_http_api.py",)
NONE = (f"{UNIT}/_traffic/kinds/test_health_switch.py",)
TWINS = (f"{UNIT}/_traffic/kinds/envoy/test_balancer_twins.py",)
HAPROXY = (f"{UNIT}/_traffic/kinds/haproxy/test_balancer.py",)
CONFIGURATION = (f"{UNIT}/_traffic/kinds/nginx/test_configuration.py",)
PROCESSES = (f"{UNIT}/_traffic/kinds/nginx/test_processes.py",)
TOYS = ("tests/unit/modules/test_toys.py",)

KINDS = (
    Guard("kinds, demands", "a drain begins with a configuration that makes its proof impossible", (*NGINX, *ENVOY, *TRAEFIK, *CADDY), (
        (f"{CORE}/_traffic/drain.py", "        if sentences:\n            raise TrafficError(f\"no drain",
         "        if False:\n            raise TrafficError(f\"no drain"),)),
    Guard("kinds, demands, in between", "a configuration that changes in the drain is not looked at again", ENVOY, (
        (f"{CORE}/_traffic/drain.py",
         "        # Another program may have changed the configuration in the meantime.\n        self._require_provable()\n", ""),)),
    Guard("kinds, arrivals", "a member is proven out that gets requests in maintenance", (f"{UNIT}/_traffic/test_arrivals.py",), (
        (f"{CORE}/_traffic/drain.py", "        if sentences:\n            raise TrafficError(\". \".join(sentences))",
         "        if False:\n            raise TrafficError"),)),
    Guard("kinds, arrivals, looked at", "what comes to a member in maintenance is not waited for", (f"{UNIT}/_traffic/test_arrivals.py",), (
        (f"{CORE}/_traffic/pool.py", "            watched = still_to_watch(now)\n", "            watched = 0 * still_to_watch(now)\n"),)),
    Guard("kinds, arrivals, reported", "where arrivals are reported they are not looked at", (*HAPROXY, *ENVOY, *HTTP), (
        (f"{CORE}/_traffic/interface.py", "WATCH_SECONDS = 1.0", "WATCH_SECONDS = 0.0"),)),
    Guard("kinds, agents", "the plan does not tell that an agent can bring a member back", (f"{UNIT}/_traffic/test_views.py",), (
        (f"{CORE}/_traffic/views.py", "[*backend.warnings, *_risks_of_agents(backend)]", "list(backend.warnings)"),)),
    Guard("kinds, sharers", "another process takes requests at a load balancer's port, and nobody asks", (f"{UNIT}/test_load_balancers.py",), (
        (f"{CORE}/_load_balancers.py", "        _wrap(balancer, (\"read\",), functools.partial(_with_sharers, listeners))\n", "        pass\n"),)),
    Guard("kinds, sharers, named", "a process that listens at a load balancer's port is not reported", (f"{UNIT}/_traffic/test_listeners.py",), (
        (f"{CORE}/_traffic/listeners.py", "        if foreign:\n            yield place", "        if False:\n            yield place"),)),
    Guard("kinds, sharers, a family", "a reload of a master is another process on its port", (f"{UNIT}/_traffic/test_listeners.py",), (
        (f"{CORE}/_traffic/listeners.py", "    while len(family) > size:\n", "    while False:\n"),)),
    Guard("kinds, plan", "the plan does not say that no drain can be proven", ("tests/unit/plugin_utils/_plan/test_plan.py",), (
        ("plugins/plugin_utils/_plan/refusals.py", "        *_unprovable(service, observed),\n", ""),)),
    Guard("haproxy, persistence", "bound clients reach a member in maintenance", (f"{UNIT}/_traffic/kinds/haproxy/test_demands.py",), (
        (f"{CORE}/_traffic/kinds/haproxy/demands.py", "DEMANDS = (Demand(_shuts_bound_clients_out), ", "DEMANDS = ("),)),
    Guard("haproxy, ending", "a process that a reload has asked to end refuses a change, and the drain fails",
          (f"{UNIT}/_traffic/kinds/haproxy/test_balancer.py",), (
              (f"{CORE}/_traffic/kinds/haproxy/runtime.py", "        if _ENDING in answer:\n", "        if False:\n"),)),
    Guard("haproxy, quotes", "a setting in quotes is another one", (f"{UNIT}/_traffic/kinds/haproxy/test_demands.py",), (
        (f"{CORE}/_traffic/kinds/haproxy/demands.py", "words = shlex.split(line, comments=True)", "words = line.partition('#')[0].split()"),)),
    Guard("haproxy, agents", "a drain is proven before an agent is asked again that ends it", HAPROXY, (
        (f"{CORE}/_traffic/kinds/haproxy/balancer.py", "max(facts.watch_seconds, self._configuration.agent_seconds)", "facts.watch_seconds"),)),
    Guard("kinds, backups", "a floor is waited for that only backups could make up for", (f"{UNIT}/_traffic/test_drain_out.py",), (
        (f"{CORE}/_traffic/views.py", "sum(not member.backup for name, member in", "sum(True for name, member in"),)),
    Guard("nginx, workers", "workers that no reload of ours began have read the file", NGINX, (
        (f"{CORE}/_traffic/kinds/nginx/balancer.py", "        return self.loaded is not None and not any(", "        return True or any("),)),
    Guard("nginx, written since", "workers have read what the file says whoever has written it since", NGINX, (
        (f"{CORE}/_traffic/kinds/nginx/balancer.py", "return loaded if loaded and loaded.origin == self._origin(text, master) else None", "return loaded"),)),
    Guard("nginx, another's reload", "the workers of a reload that somebody else began are taken for ours", NGINX, (
        (f"{CORE}/_traffic/kinds/nginx/balancer.py", "return now - seen[0][0] >= self._steady_seconds", "return True"),)),
    Guard("nginx, reload by others", "a reload is asked for while the master reads what stood there before", NGINX, (
        (f"{CORE}/_traffic/kinds/nginx/balancer.py", "is_idle(self._master()) is not False and self", "True and self"),)),
    Guard("nginx, failed reload", "a worker that is restarted counts as one with the new configuration", NGINX, (
        (f"{CORE}/_traffic/kinds/nginx/balancer.py", "self._master(), self._steady(), False\n", "self._master(), self._steady(), True\n"),)),
    Guard("nginx, before", "workers of before a member's way out do not count", NGINX, (
        (f"{CORE}/_traffic/kinds/nginx/loaded.py", "return self.unknown | self.out.get(upstream, {}).get(member, frozenset())", "return self.unknown"),)),
    Guard("nginx, drain", "down stands where drain takes it back", CONFIGURATION, (
        (f"{CORE}/_traffic/kinds/nginx/configuration.py", 'if word.text == "drain")])', "if False)])"),)),
    Guard("nginx, orphans", "workers of another instance are taken for this one's", PROCESSES, (
        (f"{CORE}/_traffic/kinds/nginx/processes.py", "not theirs.isdisjoint(ours)", "True"),)),
    Guard("nginx, ticks", "a worker is identified by its id alone", NGINX, (
        (f"{CORE}/_traffic/kinds/nginx/processes.py", "return self.pid, self.began", "return self.pid, 0"),)),
    Guard("nginx, text", "nginx is reloaded whatever it reads", NGINX, (
        (f"{CORE}/_traffic/kinds/nginx/balancer.py", "        if not is_in_dump(self._dump.output, seen.text):\n", "        if False:\n"),)),
    Guard("nginx, older binary", "workers of an older binary's master do not count", PROCESSES, (
        (f"{CORE}/_traffic/kinds/nginx/processes.py", "    while len(family) > size:\n", "    while False:\n"),)),
    Guard("nginx, older master", "a master that takes requests with an older configuration is no fault", NGINX, (
        (f"{CORE}/_traffic/kinds/nginx/demands.py", "    if facts.elders:\n", "    if False:\n"),)),
    Guard("nginx, synchronized", "what the file says of a member is believed before a reload", NGINX, (
        (f"{CORE}/_traffic/pool.py", "        if self._synchronizing:\n            self.look()\n", ""),
        (f"{CORE}/_traffic/pool.py", "            self._synchronize()\n", ""))),
    Guard("nginx, braces", "a brace within a word ends the block", CONFIGURATION, (
        (f"{CORE}/_traffic/kinds/nginx/configuration.py", 'if character == "{" and is_variable:', "if False:"),)),
    Guard("nginx, comments", "a comment begins within a word", CONFIGURATION, (
        (f"{CORE}/_traffic/kinds/nginx/configuration.py", 'if character in WHITE or character in ";{":', 'if character in WHITE or character in ";{#":'),)),
    Guard("nginx, backup", "a backup is live", NGINX, (
        (f"{CORE}/_traffic/kinds/nginx/balancer.py", "backup=server.is_backup", "backup=False"),)),
    Guard("envoy, priorities", "endpoints of a lower priority are live", ENVOY, (
        (f"{CORE}/_traffic/kinds/envoy/balancer.py", "backup=member.backup or priority_of(host) > first", "backup=member.backup"),)),
    Guard("envoy, degraded", "one that is degraded is live", ENVOY, (
        (f"{CORE}/_traffic/kinds/envoy/balancer.py", 'backup=status.get("eds_health_status") == DEGRADED or', "backup="),)),
    Guard("envoy, hot restart", "what the process before has in flight is not seen", ENVOY, (
        (f"{CORE}/_traffic/kinds/envoy/balancer.py", "        return max(reported, int(self._process.is_new))\n", "        return 0\n"),)),
    Guard("envoy, its socket", "the process before a hot restart has gone while it is there", ENVOY, (
        (f"{CORE}/_traffic/kinds/envoy/balancer.py", "before in names if own in names else", "False if own in names else"),)),
    Guard("envoy, panic", "Envoy sends to drained members, and the drain is proven", ENVOY, (
        (f"{CORE}/_traffic/kinds/envoy/demands.py", "Demand(_is_in_no_panic), ", ""),)),
    Guard("envoy, panic foreseen", "a drain begins that ends in a panic", ENVOY, (
        (f"{CORE}/_traffic/drain.py", 'views.ends_in_panic(self._pool.now, coming, going) if going else ""', '""'),)),
    Guard("envoy, file", "only the first drain tells that the file is YAML", ENVOY, (
        (f"{CORE}/_traffic/kinds/envoy/demands.py", "           Demand(_has_a_file), ", "           "),)),
    Guard("envoy, twins", "what another cluster of the same endpoints has in flight is not counted", ENVOY, (
        (f"{CORE}/_traffic/kinds/envoy/balancer.py", "sessions=member.sessions + other.sessions", "sessions=member.sessions"),)),
    Guard("envoy, twins' demands", "a cluster of the same endpoints sends to drained members by its own configuration", TWINS, (
        (f"{CORE}/_traffic/kinds/envoy/balancer.py", "for sentence in reported.refusals)", "for sentence in ())"),)),
    Guard("envoy, twins' panic", "the panic of a cluster of the same endpoints is seen when it is there", TWINS, (
        (f"{CORE}/_traffic/kinds/envoy/balancer.py", "for name in (backend, *twins))", "for name in (backend,))"),)),
    Guard("envoy, twins' links", "a cluster that has the endpoints by a link does not see a change", TWINS, (
        (f"{CORE}/_host/config_file.py", "(path, *others), os", "(path,), os"),)),
    Guard("envoy, twins' states", "a member is out while a cluster of the same endpoints sends to it", TWINS, (
        (f"{CORE}/_traffic/kinds/envoy/balancer.py", "admin=min(member.admin, other.admin, key=_FROM_IN_TO_OUT.index), ", ""),)),
    Guard("envoy, other clusters", "a look at one cluster does not tell of others that send to its members", TWINS, (
        (f"{CORE}/_traffic/kinds/envoy/balancer.py", "if name not in (*seen, *twins)",
         "if name not in (*seen, *twins) and not (name in self._known and self._known[name].file)"),)),
    Guard("kinds, untouched", "a change that was never written is to be put back by hand", ENVOY, (
        (f"{CORE}/_traffic/pool.py", "                self._note_again(balancer, noted)\n", ""),)),
    Guard("kinds, another writer", "what another program writes meanwhile is lost", (f"{UNIT}/_host/test_config_file.py",), (
        (f"{CORE}/_host/config_file.py", "        if self.read() != after:\n            return False\n", ""),)),
    Guard("kinds, as it is written", "a user's JSON is indented again by a change", (f"{UNIT}/_traffic/test_json_text.py",), (
        (f"{CORE}/_traffic/json_text.py", "        if found == wanted:\n            return text[start:end], end\n", ""),)),
    Guard("kinds, as it was written", "what a change adds to a user's JSON leaves its blanks behind", (f"{UNIT}/_traffic/test_json_text.py",), (
        (f"{CORE}/_traffic/json_text.py", "    kept[-1] = kept[-1]._replace(after=last_blanks)\n", ""),)),
    Guard("envoy, put back", "one that was degraded comes back healthy", ENVOY, (
        (f"{CORE}/_traffic/kinds/envoy/balancer.py", "self._taken.get((backend, name), before.get(name, _STATUS[READY]))", "_STATUS[READY]"),)),
    Guard("traefik, strategy", "a strategy without weights is taken", TRAEFIK, (
        (f"{CORE}/_traffic/kinds/traefik.py", "    if strategy in STRATEGIES:\n", "    if True:\n"),)),
    Guard("traefik, file", "only the first drain tells that the file is YAML", TRAEFIK, (
        (f"{CORE}/_traffic/kinds/traefik.py", "DEMANDS = (Demand(_keeps_to_weights), Demand(_has_a_file), ", "DEMANDS = (Demand(_keeps_to_weights), "),)),
    Guard("traefik, other services", "it is not reported that a service of another provider sends to the members", TRAEFIK, (
        (f"{CORE}/_traffic/kinds/traefik.py", "Demand(_is_alone, is_needed=False), ", ""),)),
    Guard("traefik, pages", "services behind the first page of the API's list are not seen", TRAEFIK, (
        (f"{CORE}/_traffic/kinds/traefik.py", "            if page <= before:\n", "            if True:\n"),)),
    Guard("traefik, put back", "a weight of before is 1 with another run", TRAEFIK, (
        (f"{CORE}/_traffic/kinds/traefik.py", "        self._former.keep(backend, leaving)\n", ""),)),
    Guard("traefik, taken back", "a weight that is put back is the one of the settings", TRAEFIK, (
        (f"{CORE}/_traffic/kinds/traefik.py", "        if (backend, url) in self._taken:\n", "        if False:\n"),)),
    Guard("caddy, put back", "a weight that is put back is the one of the settings", CADDY, (
        (f"{CORE}/_traffic/kinds/caddy/balancer.py", "weight or self._taken.get((backend, name)) or ", "weight or "),)),
    Guard("caddy, twice", "the last of two entries of one address is all that is in flight", CADDY, (
        (f"{CORE}/_traffic/kinds/caddy/balancer.py", 'found.get(entry["address"], 0) + entry["num_requests"]', 'entry["num_requests"]'),)),
    Guard("caddy, missing", "an address that is not reported has nothing in flight", CADDY, (
        (f"{CORE}/_traffic/kinds/caddy/balancer.py", "Demand(_is_counted),\n", "\n"),)),
    Guard("caddy, health", "members that Caddy tells as unhealthy are capacity", CADDY, (
        (f"{CORE}/_traffic/kinds/caddy/balancer.py", "health = DOWN if is_healthy is False else UP", "health = UP"),)),
    Guard("caddy, news", "a drain begins while Caddy has everybody healthy because of a change", CADDY, (
        (f"{CORE}/_traffic/drain.py", "        self._know_the_health()\n", ""),)),
    Guard("caddy, before", "a change makes a member healthy that was not", CADDY, (
        (f"{CORE}/_traffic/kinds/caddy/health.py", "        before = {} if is_news else self._healthy\n", "        before = {}\n"),)),
    Guard("caddy, back", "one that comes back waits for what Caddy reported while it was out", CADDY, (
        (f"{CORE}/_traffic/kinds/caddy/balancer.py", "out | self._returned)", "())"),)),
    Guard("envoy, subsets", "a subset in panic sends to drained members", ENVOY, (
        (f"{CORE}/_traffic/kinds/envoy/demands.py", "Demand(_has_no_panic_of_subsets),\n", "\n"),)),
    Guard("envoy, policy", "a policy is judged by a name that anybody gives", ENVOY, (
        (f"{CORE}/_traffic/kinds/envoy/demands.py", "return found[1].upper() if found else",
         "return extension['name'].rpartition('.')[2].upper() if found else"),)),
    Guard("http, quiet", "requests that are neither reported nor waited for are none", HTTP, (
        (f"{CORE}/_traffic/kinds/http_api.py", "DEMANDS = (Demand(_tells_its_state), Demand(_ends_its_requests))", "DEMANDS = (Demand(_tells_its_state),)"),)),
    Guard("http, errors that pass", "a drain is rolled back for one answer of 502 to a look", (f"{UNIT}/_host/test_json_api.py",), (
        (f"{CORE}/_host/json_api.py", " or (answer.status in PASSING and request.method in READING)", ""),)),
    Guard("http, later", "a change that is shown later is taken for another's", HTTP, (
        (f"{CORE}/_traffic/kinds/http_api.py", "self._shown_rows(name)) for name in names", "self._rows(name)) for name in names"),)),
    Guard("http, too many", "a request that was counted out is not sent again", (f"{UNIT}/_host/test_json_api.py",), (
        (f"{CORE}/_host/json_api.py", "later is None and answer.status != TOO_MANY", "later is None"),)),
    Guard("none, later", "a switch that shows later is taken for another's change", NONE, (
        (f"{CORE}/_traffic/kinds/health_switch.py", "            self._wait_shown(self._apis[backend, member], is_in=change == READY)\n", ""),)),
    Guard("none, own fault", "one whose health check fails by itself counts as switched out", NONE, (
        (f"{CORE}/_traffic/kinds/health_switch.py", "                self._switch(place, OUT)\n                sentences", "                sentences"),)),
    Guard("registry, options", "a kind takes an option that it does not know, and ignores it", TOYS, (
        (f"{CORE}/_load_balancers.py", "    if foreign:\n", "    if False:\n"),)),
    Guard("registry, weights", "weights are set on a kind that has none", TOYS, (
        (f"{CORE}/_traffic/weight.py", "        if not hasattr(balancer, \"set_weights\"):\n", "        if False:\n"),)),
    Guard("registry, routes", "a route is set on a kind that has none", TOYS, (
        (f"{CORE}/_traffic/route.py", "        if not hasattr(balancer, \"table\"):\n", "        if False:\n"),)),
    Guard("registry, suffix", "what a killed backup of a new engine left stays", TOYS, (
        (f"{CORE}/_database/backup/store.py", 'SUFFIX = r"(?:\\.[a-z]+)+?"', 'SUFFIX = r"\\.dump"'),)),
    Guard("registry, at once", "a module compiles every engine", (f"{UNIT}/test_registries.py",), (
        (f"{CORE}/_database_engines.py", "from typing import Any, Callable\n",
         "from typing import Any, Callable\n\nfrom ._mariadb import engine as _unused\n"),)),
)
