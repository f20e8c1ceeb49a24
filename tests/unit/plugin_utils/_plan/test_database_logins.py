# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module logs in to a database server, by the variables of its host."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible_collections.alwayson.upgrade.plugins.plugin_utils._plan.database_logins import database_login, database_server, switchover_login

REPOSITORY = Path(__file__).resolve().parents[4]
HOSTVARS = {"db1": {"postgresql_login_host": "10.0.0.51", "postgresql_login_port": "5433", "postgresql_login_user": "upgrade",
                    "postgresql_login_password": "secret", "postgresql_ssl_mode": "verify-full", "postgresql_ca_cert": "/etc/ca.pem"},
            "db2": {"ansible_host": "10.0.0.52"}, "db3": {}}


def test_a_server_is_reached_as_its_host_says():
    assert database_login("db1", HOSTVARS) == {"login_host": "10.0.0.51", "login_port": 5433, "login_user": "upgrade", "login_password": "secret",
                                               "ssl_mode": "verify-full", "ca_cert": "/etc/ca.pem"}
    assert database_login("db2", HOSTVARS) == {"login_host": "10.0.0.52", "login_port": 5432, "login_user": "postgres"}
    assert database_login("db3", HOSTVARS)["login_host"] == "db3"


def test_on_its_own_host_the_local_socket_will_do():
    assert database_login("db2", HOSTVARS, here=True) == {"login_port": 5432, "login_user": "postgres"}
    assert database_login("db1", HOSTVARS, here=True)["login_host"] == "10.0.0.51"


def test_a_switchover_has_servers_and_one_login():
    assert database_server("db1", HOSTVARS) == {"name": "db1", "host": "10.0.0.51", "port": 5433}
    assert switchover_login("db1", HOSTVARS) == {"login_user": "upgrade", "login_password": "secret", "ssl_mode": "verify-full", "ca_cert": "/etc/ca.pem"}
    assert switchover_login("db3", HOSTVARS) == {"login_user": "postgres"}


def options_of(module: str) -> set[str]:
    """The options of a module, those of its fragments too."""
    text = (REPOSITORY / "plugins" / "modules" / f"{module}.py").read_text(encoding="utf-8")
    documentation = yaml.safe_load(text.split('DOCUMENTATION = r"""')[1].split('"""')[0])
    found = set(documentation.get("options") or {})
    for fragment in documentation.get("extends_documentation_fragment") or []:
        source = REPOSITORY / "plugins" / "doc_fragments" / f"{fragment.removeprefix('alwayson.upgrade.')}.py"
        if source.exists():
            found |= set(yaml.safe_load(source.read_text(encoding="utf-8").split('"""')[3]).get("options") or {})
    return found


def test_each_module_of_an_action_group_has_the_options_that_are_its_defaults():
    groups = yaml.safe_load((REPOSITORY / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    login = set(database_login("db1", HOSTVARS))
    of_any_kind = set(yaml.safe_load((REPOSITORY / "playbooks" / "vars" / "login.yml").read_text(encoding="utf-8"))["alwayson_login_variables"])
    defaults = {"databases": of_any_kind, "postgresql": login, "fenced_databases": {"fence"},
                "switchover": {"state", "old_primary", "new_primary", "fence", *switchover_login("db1", HOSTVARS)}}
    assert set(groups) == set(defaults)
    missing = {(module, option) for group, modules in groups.items() for module in modules for option in defaults[group] - options_of(module)}
    assert missing == set()
