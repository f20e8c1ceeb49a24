# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's configuration, read as nginx reads it, and what it has to look like for a proof."""

from __future__ import annotations

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.demands import looked_at
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.nginx import demands as nginx_demands
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.nginx.configuration import (
    ConfigurationError, dumped, is_in_dump, parse, servers, upstreams, with_servers,
)
from ansible_collections.alwayson.upgrade.plugins.module_utils._traffic.kinds.nginx.demands import DEMANDS, Facts
from nginx_file import TEXT

APP = {"10.0.0.1:80": False, "10.0.0.2:80": False, "10.0.0.3:80": True}


def down(text):
    return {name: {address: server.is_down for address, server in servers(block).items()} for name, block in upstreams(text).items()}


@pytest.mark.parametrize(("text", "expected"), [
    (TEXT, {"web": {"10.0.0.1:80": False}, "app": APP}),
    (TEXT.replace("\n", "\r\n"), {"web": {"10.0.0.1:80": False}, "app": APP}),
    ("upstream a {\n}\n", {"a": {}}),
    ("upstream a {\nserver unix:/run/a.sock\n  max_fails=1 down;\n\tserver b.example.com;\n}", {"a": {"unix:/run/a.sock": True, "b.example.com": False}}),
    ("upstream a {\n server down.example.com; # server c down;\n}", {"a": {"down.example.com": False}}),
    ("http { upstream a { server b:1; } server { location / { proxy_pass http://a; } } }", {"a": {"b:1": False}}),
    ("", {}),
])
def test_comments_do_not_count(text, expected):
    assert down(text) == expected


@pytest.mark.parametrize("method", [
    "hash ${remote_addr}${request_uri} consistent;", "hash $uri#x;", "hash ${request_uri}x consistent;", 'hash "{$uri";', "hash '} server c:1;';",
    'hash "a\\"b}";', "hash a\\;b;", "hash a\\{b;", "hash $uri}x;", "hash \"\";", "hash ';';",
    "# it's a } here\n hash a;", "hash a\"b;", "random two\n least_conn ;",
])
def test_quotes_comments_variables_and_braces_are_those_of_nginx(method):
    for text in (f"upstream app {{ server a:1; {method} server b:1 weight=2; }}", f"upstream app {{\n  {method}\n  server a:1;\n  server b:1 weight=2; }}"):
        assert down(text) == {"app": {"a:1": False, "b:1": False}}
        out = with_servers(text, "app", {"a:1": True, "b:1": True})
        assert down(out) == {"app": {"a:1": True, "b:1": True}} and with_servers(out, "app", {"a:1": False, "b:1": False}) == text
        assert out == text.replace("server a:1", "server a:1 down").replace("server b:1", "server b:1 down") or "server c:1" in text


@pytest.mark.parametrize("text", [
    "upstream app { server a:1; server b:1; }",
    "upstream app {\n  # {old}\n  server a:1; # }\n  server b:1 # the first\n    weight=2;\n}\n",
    "# upstream old {\nupstream app {\n server a:1;\n server b:1;\n}\n",
    "upstream \"app\" {\n server 'a:1';\n server \"b:1\" weight=2;\n}\n",
])
def test_comments_and_one_line_for_several_servers_are_understood(text):
    assert down(text) == {"app": {"a:1": False, "b:1": False}}
    out = with_servers(text, "app", {"a:1": True, "b:1": True})
    assert down(out) == {"app": {"a:1": True, "b:1": True}}
    assert with_servers(out, "app", {"a:1": False, "b:1": False}) == text


def test_a_word_behind_a_comment_is_removed_and_the_comment_takes_nothing_with_it():
    text = "upstream app {\n  server a:1 # the first\n    down;\n}\n"
    out = with_servers(text, "app", {"a:1": False})
    assert down(out) == {"app": {"a:1": False}} and "# the first\n" in out


def test_a_server_that_is_written_twice_is_down_when_both_are():
    text = "upstream app { server a:1 weight=3; server a:1 down backup; }"
    assert servers(upstreams(text)["app"])["a:1"] == (False, False, 4, False)
    assert down(with_servers(text, "app", {"a:1": True})) == {"app": {"a:1": True}}


@pytest.mark.parametrize(("options", "out"), [("drain weight=2", "drain down weight=2"), ("down drain", "down drain down"), ("drain down", "drain down")])
def test_drain_takes_down_back_that_stands_before_it(options, out):
    text = f"upstream app {{ server a:1 {options}; server b:1; }}"
    changed = with_servers(text, "app", {"a:1": True})
    assert changed == text.replace(options, out) and down(changed)["app"] == {"a:1": True, "b:1": False}
    assert servers(upstreams(text)["app"])["a:1"].is_drained and down(text)["app"]["a:1"] == (options == out)
    assert "down" not in with_servers(changed, "app", {"a:1": False})


@pytest.mark.parametrize(("upstream", "changes", "before", "after"), [
    ("app", {"10.0.0.1:80": True}, "weight=5  max_fails=0;", "down weight=5  max_fails=0;"),
    ("app", {"10.0.0.2:80": True}, "10.0.0.2:80;  # down", "10.0.0.2:80 down;  # down"),
    ("app", {"10.0.0.3:80": False}, "10.0.0.3:80 down backup;", "10.0.0.3:80 backup;"),
    ("app", {"10.0.0.1:80": False, "10.0.0.3:80": True}, "", ""),
    ("app", {}, "", ""),
    ("web", {"10.0.0.1:80": True}, "server 10.0.0.1:80;", "server 10.0.0.1:80 down;"),
    ("ap", {"10.0.0.1:80": True}, "", ""),
])
def test_only_the_word_down_comes_and_goes_and_only_in_that_upstream(upstream, changes, before, after):
    changed = with_servers(TEXT, upstream, changes)
    assert changed == TEXT.replace(before, after) and with_servers(changed, upstream, changes) == changed
    assert down(changed).get(upstream, changes) == {**down(TEXT).get(upstream, {}), **changes}


@pytest.mark.parametrize(("text", "reason"), [
    ("upstream a {\n server b:1;", "it ends within 'upstream', which begins in line 1"),
    ("a;\nserver b", "it ends within 'server', which begins in line 2"),
    ("a { b }", "unexpected '}' in line 1"),
    ("a;\n}", "unexpected '}' in line 2"),
    ("a;\n;", "unexpected ';' in line 2"),
    ("{ a; }", "unexpected '{' in line 1"),
    ("a 'b\n;", "the quote of line 1 has no end"),
    ("a;\nb \"c\"d;", "unexpected 'd' behind a quote in line 2"),
    ("upstream a { server b:1; } upstream a { server c:1; }", "it has two upstreams 'a', of http and of stream: give each a file of its own"),
])
def test_what_nginx_would_not_read_is_not_read(text, reason):
    with pytest.raises(ConfigurationError, match=f"^{reason}$"):
        upstreams(text)


def shown(*files):
    return "".join(f"# configuration file {path}:\n{text}\n" for path, text in files)


def test_the_files_of_a_dump_are_told_apart():
    files = [("/etc/nginx/nginx.conf", "http { include a.conf; }\n"), ("/etc/nginx/a.conf", "upstream a { server b:1; }"), ("/etc/nginx/empty.conf", "")]
    assert dumped(shown(*files)) == files and dumped("") == []


@pytest.mark.parametrize(("text", "is_there"), [
    ("a 1;\n", True), ("b 2;", True), ("", False), ("a 1;", False), ("b", False), ("c 3;\n# configuration file /etc/x.conf:\nd;\n", True), ("d;\n", False),
])
def test_a_file_is_in_a_dump_when_all_of_its_text_is(text, is_there):
    files = ("/etc/a.conf", "a 1;\n"), ("/etc/b.conf", "b 2;"), ("/etc/c.conf", "c 3;\n# configuration file /etc/x.conf:\nd;\n# more\n")
    files = (*files, ("/etc/e.conf", "c 3;\n# configuration file /etc/x.conf:\nd;\n"))
    assert is_in_dump(shown(*files), text) == is_there or text == "d;\n"


MAIN = "/etc/nginx/nginx.conf"


def found(block="server a:1; server b:1;", more="", **facts):
    text = f"upstream app {{ {block} }}"
    known = {"output": shown((MAIN, f"events {{}} {more}"), ("/etc/nginx/u.conf", text)), "title": f"nginx: master process nginx -c {MAIN} -g daemon off;"}
    return looked_at(DEMANDS, Facts("app", upstreams(text)["app"], "/etc/nginx/u.conf", text, "nginx", **{**known, **facts}))


@pytest.mark.parametrize("facts", [
    {}, {"title": "nginx: master process nginx"}, {"title": ""}, {"title": "nginx: master process nginx -c nginx.conf"},
    {"title": "nginx: master process /opt/nginx-current/sbin/nginx"}, {"title": "nginx: master process nginx -e /var/log/nginx-common/error.log"},
    {"title": "nginx: master process nginx -g pid /run/nginx-custom.pid;"}, {"title": "nginx: master process nginx -p /etc/web-cdn -qc nginx/nginx.conf"},
    {"title": "nginx: master process nginx -c /etc/nginx//nginx.conf"}, {"title": "nginx: master process nginx -c/etc/nginx/nginx.conf"},
    {"block": "zone app 64k; least_conn; server a:1; keepalive 8; random two;"}, {"more": "http { content_by_lua_block { return '}' .. \"{\" } }"},
    {"more": "http { upstream api { server c:1; } server { location / { proxy_pass http://app; } } }"},
])
def test_what_meets_all_demands_is_taken(facts):
    assert found(**facts) == ((), ())


@pytest.mark.parametrize(("facts", "reason"), [
    ({"output": "", "problem": "nginx -T -q says no"}, "its configuration cannot be tested, so it cannot be reloaded: nginx -T -q says no"),
    ({"output": shown((MAIN, "upstream app { server a:1 ; }"))},
     "nginx does not read /etc/nginx/u.conf as it stands there: nginx -T shows no file with that text"),
    ({"title": "nginx: master process nginx -e /var/c -c /srv/nginx.conf"}, f"the master process was started with /srv/nginx.conf, and nginx -T reads {MAIN}"),
    ({"title": "nginx: master process nginx -c /srv/nginx.conf"}, f"the master process was started with /srv/nginx.conf, and nginx -T reads {MAIN}"),
    ({"block": "server a:1; include more.conf;"}, "servers of app stand elsewhere (include), and are not seen here: write them into /etc/nginx/u.conf"),
    ({"block": "state /var/lib/app.state;"}, "servers of app stand elsewhere (state), and are not seen here"),
    ({"block": "server a:1; fair; check interval=3000;"}, "app has check, fair, for which it is unknown whether they send requests"),
    ({"elders": (7, 8)}, "an older master process (7, 8) takes requests, too"),
    ({"orphans": (7,)}, "workers without a master process take requests, and read nothing any more: let them end (kill -QUIT 7)"),
])
def test_what_does_not_meet_a_demand_is_refused(facts, reason):
    refusals, notes = found(**facts)
    assert len(refusals) == 1 and refusals[0].startswith(reason) and notes == ()


@pytest.mark.parametrize(("facts", "note"), [
    ({"strangers": (7,)}, "other master processes run here (7): each that serves app has to be a load balancer of its own"),
    ({"more": "worker_shutdown_timeout 30s;"}, "worker_shutdown_timeout 30s ends longer requests at each change: remove it"),
    ({"more": "http { upstream api { server b:1; } }"}, "b:1 in upstream api: members are not drained there"),
    ({"more": "http { server { location / { proxy_pass http://a:1/x; } } }"}, "a:1 by proxy_pass http://a:1/x: members are not drained there"),
    ({"more": "stream { server { proxy_pass a:1; } }"}, "a:1 by proxy_pass a:1: members are not drained there"),
])
def test_what_is_worth_knowing_is_noted(facts, note):
    refusals, notes = found(**facts)
    assert refusals == () and len(notes) == 1 and notes[0].startswith(note)


def test_a_large_file_without_a_word_that_is_sought_is_not_read_and_others_once(monkeypatch):
    read = []
    monkeypatch.setattr(nginx_demands, "parse", lambda text: read.append(text) or parse(text))
    for _look in range(2):
        found(output=shown((MAIN, "worker_shutdown_timeout 7s; # here"), ("/etc/nginx/geo.conf", "10.0.0.0/8 de;" * 9), ("/etc/nginx/u.conf", "upstream x {}")))
    assert sorted(text for text in read if not text.startswith("upstream app")) == ["upstream x {}", "worker_shutdown_timeout 7s; # here"]


def test_a_directive_tells_its_name_and_its_arguments():
    listen, location = parse("listen 80 ssl; location ~ \\.php$ { a b; }")
    assert (listen.name, listen.arguments, listen.block) == ("listen", ["80", "ssl"], None)
    assert location.arguments == ["~", "\\.php$"] and [inner.name for inner in location.block] == ["a"]
