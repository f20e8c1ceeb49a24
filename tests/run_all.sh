#!/usr/bin/env bash
# Everything. What cannot run on this machine is said. Two things run at a time: one that keeps the processors busy, and one that mostly waits.
set -euo pipefail
cd "$(dirname "$0")/.."
step() { printf '\n=== %s (%s s so far)\n' "$1" "$SECONDS"; }

# beside NAME COMMAND...: run it beside the steps that follow; its output goes to build/NAME.log.
declare -A running=()
beside() {
  local name=$1
  shift
  "$@" > "build/$name.log" 2>&1 &
  running[$name]=$!
}
# ended NAME: wait for it; the status is its own.
ended() {
  local pid=${running[$1]}
  unset "running[$1]"
  wait "$pid"
}
# pytest ends its servers after SIGINT.
leave() {
  kill -INT "${running[@]}" 2> /dev/null || true
  kill -TERM "${running[sanity]:-}" "${running[cores]:-}" 2> /dev/null || true
  wait
}
trap leave EXIT

# Two files at a time. Each has a fleet or servers of its own, so that it stays on one worker.
two_at_a_time=(build/venv/bin/pytest -q -ra --durations 20 --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not lab and not thorough")

failed=()
tests/lab/packages.sh
# ansible-test sanity waits for its own downloads at first, and then takes what the others leave of the processors.
beside sanity nice -n 19 tests/sanity.sh
step "linters, while the supported cores are installed"
beside cores tests/cores.sh
tests/lint.sh
ended cores || { cat build/cores.log; exit 1; }
cat build/cores.log
step "unit tests, and the scheduler on simulated fleets"
build/venv/bin/pytest -q --numprocesses 3 tests/unit tests/simulation
step "whole fleets and the fault table, while their parts are tested"
# What smaller tests show too is done again with whole fleets by make thorough.
mapfile -t parts < <(find tests/integration -mindepth 1 -maxdepth 1 -type d ! -name upgrade ! -name '__*' | sort)
beside parts "${two_at_a_time[@]}" "${parts[@]}" tests/dist tests/fleet
"${two_at_a_time[@]}" tests/faults tests/integration/upgrade || failed+=("whole fleets")
step "the lab: real hosts over SSH, upgraded, patched and rebooted"
# Not beside whole fleets, because its hosts share this machine's processors and their health checks are those of a real service. Its faults: make lab-test.
build/venv/bin/pytest -q -ra -m lab tests/lab || failed+=("the lab")
step "the parts: modules, roles, the strategy, the embedded fleet itself"
ended parts || failed+=("the parts")
cat build/parts.log
step "ansible-test sanity"
if ended sanity; then
  grep -c '^Running sanity test' build/sanity.log | sed 's/$/ sanity tests passed/'
else
  grep -E '^(ERROR|FATAL|WARNING)' build/sanity.log || cat build/sanity.log
  failed+=("ansible-test sanity")
fi
step "done"
for name in "${failed[@]}"; do echo "FAILED: $name" >&2; done
exit "$((${#failed[@]} > 0))"
