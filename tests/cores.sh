#!/usr/bin/env bash
# One virtual environment for each supported ansible-core that a Python on this machine can run: build/cores/<version>. What is missing is said, not hidden.
set -euo pipefail
cd "$(dirname "$0")/.."
PAIRS="2.19:3.11,3.12,3.13 2.20:3.12,3.13,3.14 2.21:3.13,3.12,3.14"

# A Python of that version that starts: on PATH, or where pyenv keeps them.
find_python() {
  local candidate
  for candidate in "python$1" "$HOME/.pyenv/versions/$1"*/bin/python; do
    if "$candidate" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" >/dev/null 2>&1; then echo "$candidate"; return 0; fi
  done
  return 1
}

mkdir -p build/cores
for pair in $PAIRS; do
  core=${pair%%:*}
  [ -f "build/cores/$core/.installed" ] && continue
  versions=${pair#*:}
  for version in ${versions//,/ }; do python=$(find_python "$version" || true); [ -n "$python" ] && break; done
  if [ -z "$python" ]; then
    echo "SKIPPED: ansible-core $core needs Python $versions; none of them is on this machine"
    continue
  fi
  rm -rf "build/cores/$core"
  "$python" -m venv "build/cores/$core"
  "build/cores/$core/bin/pip" install --quiet "ansible-core~=$core.0" jmespath 'psycopg[binary]>=3.2'
  touch "build/cores/$core/.installed"
done
