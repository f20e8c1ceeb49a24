#!/usr/bin/env bash
# The linters, without exceptions: changelog, Ansible, and the rules of this house.
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=build/venv
echo "changelog"
$VENV/bin/antsibull-changelog lint
echo "ruff: faults and habits in plugins, faults in tests"
$VENV/bin/ruff check --quiet plugins
$VENV/bin/ruff check --quiet --select E,F,W,PLE --ignore E402 tests
echo "mypy: the types of all plugins"
$VENV/bin/mypy --no-error-summary
echo "ansible-lint, profile production"
ANSIBLE_HOME=build/ansible ANSIBLE_COLLECTIONS_PATH=build/collections PATH="$PWD/$VENV/bin:$PATH" XDG_RUNTIME_DIR=build/run XDG_CACHE_HOME=build/cache \
  $VENV/bin/ansible-lint --offline --profile production --project-dir .
