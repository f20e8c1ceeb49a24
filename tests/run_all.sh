#!/usr/bin/env bash
# Everything, in the order of its cost. What cannot run on this machine is said.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n=== %s (%s s so far)\n' "$1" "$SECONDS"; }

tests/lab/packages.sh
# ansible-test sanity waits for its own downloads at first, and then takes what the others leave of the processors.
nice -n 19 tests/sanity.sh > build/sanity.log 2>&1 &
sanity=$!
trap 'kill "$sanity" 2>/dev/null || true' EXIT
step "linters, while the supported cores are installed"
tests/cores.sh > build/cores.log 2>&1 &
cores=$!
trap 'kill "$sanity" "$cores" 2>/dev/null || true' EXIT
tests/lint.sh
wait "$cores" || { cat build/cores.log; exit 1; }
cat build/cores.log
step "unit tests, and the scheduler on simulated fleets"
build/venv/bin/pytest -q --numprocesses 2 tests/unit tests/simulation
step "the embedded fleet, its parts, the whole path, and the faults"
# Each file has a fleet of its own: two files at a time, in this order. The whole runs, of which a single test takes a minute, come first, so that no
# worker is left alone with one. What smaller tests show too is done again with whole fleets by make thorough.
others=$(find tests/integration -mindepth 1 -maxdepth 1 -type d ! -name upgrade ! -name '__*' | sort)
build/venv/bin/pytest -q -ra --durations 40 --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not lab and not thorough" \
  tests/faults tests/integration/upgrade $others tests/dist tests/fleet
step "ansible-test sanity"
wait "$sanity" || { grep -E '^(ERROR|FATAL|WARNING)' build/sanity.log; exit 1; }
trap - EXIT
grep -c '^Running sanity test' build/sanity.log | sed 's/$/ sanity tests passed/'
step "the lab: real hosts over SSH, upgraded, patched and rebooted"
# Alone, because its hosts share this machine's cores and their health checks are those of a real service. Its faults: make lab-test.
build/venv/bin/pytest -q -ra -m lab tests/lab
step "done"
