# Everything stays below build/: the virtual environment, its caches, the fleets that are started.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
METHOD ?= half_pool
RELEASE ?= 2.0.0
VENV := build/venv
COLLECTIONS := build/collections
export PIP_CACHE_DIR := $(CURDIR)/build/cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help demo lab lab-test lab-down test thorough unit lint sanity integration cores dist clean

help:
	@echo "make demo                  upgrade a real fleet on this machine, under load (METHOD=half_pool|rolling|canary|blue_green, RELEASE=2.0.0|bad, CONTRACT=1)"
	@echo "make lab, make lab-down     real hosts on this machine: systemd, SSH, apt (needs root and podman); tests/lab/cli.py runs commands in it"
	@echo "make lab-test              upgrade, patch and break the lab, under load"
	@echo "make test                  everything that CI runs"
	@echo "make thorough              what CI has no time for: what smaller tests show, again on whole fleets: faults, resumes"
	@echo "make unit lint sanity integration   the parts of it"
	@echo "make dist                  build the collection's tarball into build/dist"
	@echo "make clean                 remove build/"

demo: $(VENV)/.demo $(COLLECTIONS)/.linked
	@$(VENV)/bin/python tests/fleet/demo.py --method "$(METHOD)" --release "$(RELEASE)" $(if $(filter 1,$(CONTRACT)),--contract)

lab: $(VENV)/.demo $(COLLECTIONS)/.linked
	@$(VENV)/bin/python tests/lab/cli.py up

lab-test: $(VENV)/.test $(COLLECTIONS)/.linked
	@$(VENV)/bin/pytest -q -rs -m lab --durations 20 tests/lab tests/faults

lab-down:
	@test ! -e $(VENV)/bin/python || $(VENV)/bin/python tests/lab/cli.py down

test: $(VENV)/.test $(COLLECTIONS)/.linked
	@tests/run_all.sh

thorough: $(VENV)/.test $(COLLECTIONS)/.linked
	@$(VENV)/bin/pytest -q -ra --numprocesses 2 --dist loadfile -m "thorough and not lab" tests/integration tests/faults

unit: $(VENV)/.test $(COLLECTIONS)/.linked
	@$(VENV)/bin/pytest -q tests/unit

lint: $(VENV)/.test $(COLLECTIONS)/.linked
	@tests/lint.sh

sanity: $(VENV)/.test
	@tests/sanity.sh

integration: $(VENV)/.test $(COLLECTIONS)/.linked cores
	@$(VENV)/bin/pytest -q tests/integration tests/fleet

cores: $(VENV)/.test
	@tests/cores.sh

dist: $(VENV)/.demo
	@rm -rf build/dist && $(VENV)/bin/ansible-galaxy collection build --output-path build/dist

clean:
	rm -rf build

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv was found. On Debian: apt-get install python3-venv; or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "preparing $(VENV) with $$($(PYTHON) --version), once"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python requirements/demo.txt
	@$(VENV)/bin/pip install --quiet --requirement requirements/demo.txt && touch $@

$(VENV)/.test: $(VENV)/.demo requirements/test.txt
	@$(VENV)/bin/pip install --quiet --requirement requirements/test.txt && touch $@

$(COLLECTIONS)/.linked:
	@mkdir -p $(COLLECTIONS)/ansible_collections/alwayson && ln -sfn ../../../.. $(COLLECTIONS)/ansible_collections/alwayson/upgrade && touch $@
