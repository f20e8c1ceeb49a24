#!/usr/bin/env bash
# Everything, in the order of its cost. What cannot run on this machine is said.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n=== %s (%s s so far)\n' "$1" "$SECONDS"; }

step "linters"
tests/lint.sh
step "unit tests"
build/venv/bin/pytest -q tests/unit
step "ansible-test sanity"
tests/sanity.sh > build/sanity.log 2>&1 || { grep -E '^(ERROR|FATAL|WARNING)' build/sanity.log; exit 1; }
grep -c '^Running sanity test' build/sanity.log | sed 's/$/ sanity tests passed/'
step "supported cores"
tests/cores.sh
step "the embedded fleet, its parts, and the whole path"
build/venv/bin/pytest -q -ra tests/fleet tests/integration
step "done"
