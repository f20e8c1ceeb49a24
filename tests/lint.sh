#!/usr/bin/env bash
# The linters, without exceptions: changelog, Ansible, and the rules of this house.
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=build/venv
echo "changelog"
$VENV/bin/antsibull-changelog lint
echo "ruff: the same rules in plugins and tests"
$VENV/bin/ruff check --quiet plugins
# Tests wait in loops, and hold files and processes beyond a block.
$VENV/bin/ruff check --quiet --extend-ignore ASYNC,PERF203,PLW1509,SIM115 tests
# Ansible wants a module's documentation before its imports, and scripts of tests set their path before them.
$VENV/bin/ruff check --quiet --select E402 plugins/action plugins/filter plugins/module_utils plugins/plugin_utils
echo "mypy: the types of all plugins"
$VENV/bin/mypy --no-error-summary
echo "ansible-lint, profile production"
ANSIBLE_HOME=build/ansible ANSIBLE_COLLECTIONS_PATH=build/collections PATH="$PWD/$VENV/bin:$PATH" XDG_RUNTIME_DIR=build/run XDG_CACHE_HOME=build/cache \
  $VENV/bin/ansible-lint --offline --profile production --project-dir .
