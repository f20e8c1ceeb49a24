# Copyright (c) 2026 The alwayson.upgrade maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is a secret in places that are none by their name, and what is not: all else is to be seen in messages."""

from __future__ import annotations

import time

import pytest
from ansible_collections.alwayson.upgrade.plugins.module_utils._host.credentials import masked, secrets_in, shown_path, shown_url

CANARY = "canary-7f1-secret"
SECRET = {
    "password in a URL": f"http://admin:{CANARY}@10.0.0.1:80/x",
    "token in a URL": f"https://{CANARY}@example.com/x.tar.gz",
    "query": f"https://bucket.example.com/x.tar.gz?X-Amz-Date=1&X-Amz-Signature={CANARY}",
    "query of a path": f"/smoke?token={CANARY}&a=b",
    "query without a name that says so": f"/smoke?k={CANARY}",
    "connection string": f"host=db1 user=u password={CANARY} sslmode=require",
    "quoted": f"host=db1 password='{CANARY}'",
    "variable": f"PGPASSWORD={CANARY} psql",
    "option": ["curl", f"--api-key={CANARY}"],
    "form": f"user=a&password={CANARY}",
    "quote without an end": f"host=db1 password='{CANARY}",
    "second of two": f"password=a token = '{CANARY}'",
    "colon in a password": f"redis://:{CANARY}@h and http://a:b@h",
    "next word": ["ctl", "--password", CANARY, "-v"],
    "next word in a text": f"ctl --token {CANARY} --api-key 'x'",
    "next word in quotes": f"sh -c 'ctl --db-password {CANARY}'",
    "header of a command": ["curl", "-H", f"Authorization: Bearer {CANARY}"],
    "header in a text": f"curl -H 'X-Auth-Token: {CANARY}' http://h/",
    "user of curl": ["/usr/bin/curl", "-u", f"admin:{CANARY}"],
    "user of curl in a text": f"/usr/bin/curl -su x --user admin:{CANARY} http://h/",
    "JSON as text": f'{{"a": 1, "token" : "{CANARY}"}}',
    "bearer": {"bearer": CANARY},
    "jwt": {"settings": {"app_jwt": CANARY}},
    "signature": {"signature": CANARY},
    "otp": {"otp": CANARY},
    "SQL": f"CREATE ROLE a LOGIN PASSWORD '{CANARY}'",
    "header": {"Authorization": f"{CANARY}"},
    "header, whole": {"X-Auth-Token": CANARY},
    "cookie": {"cookie": CANARY},
    "body": {"ready": {"body": {"token": CANARY}}},
    "key": {"body": {"key": CANARY}},
    "below a name": {"credentials": {"user": ["x", {"a": CANARY}]}},
}
PLAIN = ("/etc/nginx/upstreams.conf", "http://10.0.0.1:2019/config/", {"path": "/pool/{backend}", "members": "rows[].{name: name}"},
         ["nginx", "-p", "/srv/nginx"],
         {"weights": {"member-one": 300}}, "SELECT a FROM b WHERE c = 'a long text'", {"expect": {"release": "2.0.0-long"}}, {"Accept": "application/json"},
         {"backends": {"app": {"s1": "http://10.0.0.1:8080"}}}, "author=Somebody Else",
         {"author": "Somebody Else", "authority": "example.com", "session_affinity": "source-address", "session_state": "established"},
         ["docker", "run", "-u", "appuser:appgroup", "--token-file", "tokens.json",
          "--secret", "/run/secrets/token", "--password-stdin", "from-stdin"],
         "tool --token-file tokens.json --secret /run/secrets/token --password --verbose",
         '{"author": "Somebody Else", "token_count": 12345678, "password": null}',
         "COMMENT ON TABLE t IS 'the token identifies it'", "-- the password identifies a user", "chown -u admin:adminsgroup", "a: token: something",
         "http://10.0.0.1:80/@scope/name", "ssh://git@example.com/shop", "/smoke?session_state=established",
         "/healthz?check=database&release=2.0.0-rc1", "UPDATE t SET session_mode = 'something'")


@pytest.mark.parametrize("value", SECRET.values(), ids=SECRET.keys())
def test_a_secret_is_found_wherever_it_stands(value):
    assert CANARY in secrets_in({"option": value}, {"option": {"type": "raw"}})


@pytest.mark.parametrize("value", PLAIN, ids=str)
def test_all_else_stays_readable(value):
    assert secrets_in({"option": value}, {"option": {"type": "raw"}}) == set()


def test_names_of_options_say_nothing_and_names_within_them_do():
    spec = {"keys": {"type": "path"}, "fence": {"type": "dict", "options": {"token": {"type": "int"}}}, "settings": {"type": "dict"}}
    assert secrets_in({"keys": "/etc/alwayson/allowed_signers", "fence": {"token": 123456789}, "settings": {"token": 123456789, "pin": "12345678"}}, spec) == {
        "123456789"}
    assert secrets_in({"settings": {"password": "short"}}, spec) == set()


def test_what_was_encoded_is_masked_decoded_too():
    assert secrets_in({"url": "http://a:p%40ssword-7@h"}) == {"p%40ssword-7", "p@ssword-7"}


@pytest.mark.parametrize(("url", "shown"), [
    (f"http://a:{CANARY}@h:80/x", "http://...@h:80/x"), (f"http://a:ca/n#{CANARY}@h", "http://...@h"), (f"a:{CANARY}@h", "...@h"),
    (f"https://h/x?a={CANARY}&b=c#d", "https://h/x?a=...&b=...#d"), ("unix:/run/haproxy/admin.sock", "unix:/run/haproxy/admin.sock"),
    ("http://10.0.0.1:2019", "http://10.0.0.1:2019"), ("postgresql+psycopg2://a:b@h", "postgresql+psycopg2://...@h")])
def test_a_url_is_shown_without_who_logs_in(url, shown):
    assert shown_url(url) == shown and shown_path("/a?b=c") == "/a?b=..." and shown_path("/a") == "/a"


@pytest.mark.parametrize("text", ["A" * 50_000, "a://" + "a:" * 25_000, "a://" * 12_000, "?" * 50_000, ":" * 50_000, "passw" * 10_000,
                                  "password='" * 5_000, "password=" * 5_000, "password" + " " * 50_000, "?a=b" * 12_000, "a" * 50_000 + "://x:y@z"],
                         ids=lambda text: text[:12])
def test_a_long_option_takes_no_longer_than_its_length(text):
    began = time.process_time()
    secrets_in({"sql": text}, {"sql": {}})
    shown_url(text)
    assert time.process_time() - began < 1


def test_what_is_wholly_secret_is_and_a_body_is_by_its_names():
    spec = {"secret_headers": {"type": "dict", "no_log": True}, "body": {"type": "raw", "no_log": True}}
    assert secrets_in({"secret_headers": {"X-Any": CANARY}, "body": {"user": "production", "password": "hidden-word"}}, spec) == {CANARY, "hidden-word"}
    assert secrets_in({"body": "a=running-shoes&password=hidden-word"}, spec) == {"hidden-word"}


def test_a_text_is_masked_in_json_too():
    assert masked('saw "pass\\"word" and pass"word', {'pass"word'}) == 'saw "********" and ********'


def test_a_short_password_is_masked_in_its_url_only():
    assert secrets_in({"url": "http://admin:secret@10.0.0.1/"}) == {"//admin:secret@"}
    assert masked("http://admin:secret@h", {"//admin:secret@"}) == "http:********h"


@pytest.mark.parametrize("text", ["--token " * 6_000, "-" * 50_000, "--" + "a-" * 25_000 + "token x", "authorization: " * 3_000,
                                  "curl " + "-u " * 16_000, "x-" * 25_000,
                                  '"token":' * 6_000, "token " * 8_000, "curl -u" + "a" * 50_000], ids=lambda text: text[:12])
def test_a_long_command_takes_no_longer_than_its_length(text):
    began = time.process_time()
    secrets_in({"command": [text, text], "settings": {text: text}})
    assert time.process_time() - began < 1
