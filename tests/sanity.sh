#!/usr/bin/env bash
# ansible-test sanity on what is released: what git tracks (it rejects symlinks) without galaxy.yml's build_ignore. Its home folder is inside build/.
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
VENV=$ROOT/build/venv
EXPORT=build/sanity/ansible_collections/alwayson/upgrade
export HOME=$ROOT/build/home
mkdir -p "$HOME/.ansible/test/cache"

# ansible-test passes no PIP_ variables on, and the home folder is not the user's: keep what this machine's pip was told.
mkdir -p "$HOME/.config/pip"
{ echo "[global]"; env | sed -n -E 's/^PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|DEFAULT_TIMEOUT|TRUSTED_HOST|CACHE_DIR)=/\1=/p' \
  | while IFS== read -r name value; do name=${name,,}; echo "${name//_/-} = $value"; done; } | sed 's/^default-timeout/timeout/' > "$HOME/.config/pip/pip.conf"

# ansible-test bootstraps pip by a script that it downloads; the stand-in uses the pip that every Python carries. Its name follows the pip that is pinned.
PIN=$("$VENV/bin/python" - <<'PYTHON'
import importlib.util
import pathlib
import re

source = pathlib.Path(importlib.util.find_spec("ansible_test").submodule_search_locations[0]) / "_internal" / "python_requirements.py"
print(re.search(r"pip='([0-9.]+)'", source.read_text(encoding="utf-8"))[1].replace(".", "_"))
PYTHON
)
cp tests/get_pip_stand_in.py "$HOME/.ansible/test/cache/get_pip_$PIN.py"

rm -rf "$EXPORT" && mkdir -p "$EXPORT"
mapfile -t ignored < <("$VENV/bin/python" -c 'import yaml; print(*(":(exclude)" + name for name in yaml.safe_load(open("galaxy.yml"))["build_ignore"]), sep="\n")')
git ls-files --cached --others --exclude-standard -- . "${ignored[@]}" | sort -u | while read -r file; do [ -f "$file" ] && printf '%s\0' "$file"; done \
  | tar --create --null --files-from=- | tar --extract --directory "$EXPORT"
( cd "$EXPORT" && git init --quiet && git add --all && echo tests/output > .git/info/exclude )  # where ansible-test works
PYTHON_VERSION=$("$VENV/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
cd "$EXPORT"
PATH="$VENV/bin:$PATH" ansible-test sanity --venv --python "$PYTHON_VERSION" --color no "$@"
