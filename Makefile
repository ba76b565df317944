# The two commands of this project are `make demo` and `make test`; each builds what it needs first.
#
#   make demo   [ARGS='--for 120 --report report.json']   the whole platform with simulated sites
#   make test   [ARGS='tests/ingest -k duplicates']       the test suite
#   make lint                                             ruff, mypy
#   make bench  NAME=ingest                               one benchmark, ends with one JSON object
#   make format, make clean

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# constraints.txt locks the versions; `make relock` renews it from the ranges in pyproject.toml.
PIP := $(BIN)/python -m pip --disable-pip-version-check
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev
SOURCES_OF_INSTALL := pyproject.toml constraints.txt web/build.py web/build_hook.py
JOBS ?= 2
ARGS ?=

.PHONY: help demo test lint format bench install web relock clean

help:
	@sed -n 's/^#   //p' Makefile

$(BIN)/python:
	@echo "== making $(VENV) (Python $$($(PYTHON) -c 'import platform; print(platform.python_version())'))"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "venv is missing: on Debian, apt-get install python3-venv" >&2; exit 1; }

$(RUN_STAMP): $(SOURCES_OF_INSTALL) | $(BIN)/python
	@echo "== installing smartsite and what it needs (some minutes the first time)"
	@$(PIP) install --progress-bar on --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	@echo "== installing the tools for tests and checks"
	@$(PIP) install --progress-bar on --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(RUN_STAMP)

# The install builds the page too; this looks whether its sources have changed since.
web: $(RUN_STAMP)
	@$(BIN)/python web/build.py

demo: $(RUN_STAMP) web
	@$(BIN)/smartsite demo $(ARGS)

test: $(DEV_STAMP) web
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
	@if [ -f benchmarks/requirements-$(NAME).txt ]; then $(PIP) install --constraint constraints.txt -r benchmarks/requirements-$(NAME).txt; fi
	@$(BIN)/python -m benchmarks.$(NAME) --json $(ARGS)

relock: $(DEV_STAMP)
	$(BIN)/python -m pip freeze --exclude-editable --exclude smartsite > constraints.txt

clean:
	rm -rf $(VENV) var build dist web/dist web/node_modules smartsite/static .pytest_cache .mypy_cache .ruff_cache .hypothesis
