# The two commands that matter: `make demo` shows the exchange at work, `make test` proves it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
UV ?= uv
BIN := .venv/bin
ROOMS := schemas crypto nodes hub deploy bench
# What the environment was made from: another lock, metadata or folder gives another stamp.
KEY := $(shell (cat requirements.lock pyproject.toml; echo "$(CURDIR)") | git hash-object --stdin)
STAMP := .venv/.made-from-$(KEY)

# The programs are started hundreds of times: what Python has compiled of them once, it keeps.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup check test demo replay up down status bench bench-long faults fuzz schemas lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv from the lock; see that RabbitMQ and PostgreSQL are there
	@$(BIN)/python -m deploy.local.programs

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo "setup: making .venv from requirements.lock (about a minute)" >&2
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

check: setup ## lint, formatting, types, import layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(ROOMS)
	$(BIN)/lint-imports

test: setup ## everything that CI runs: check, and all tests but the long ones
	@$(BIN)/python -m deploy.local.programs --tests
	$(BIN)/python -m tests.side_by_side

demo: setup ## the main job, end to end, on real services
	$(BIN)/python -m deploy.local.demo

replay: setup ## the Center's exchanges and operations of 2002 to 2004 through the real system; compares every table
	$(BIN)/python -m deploy.local.replay

up: setup ## start the hub and all nodes and keep them running
	$(BIN)/python -m deploy.local.up up

down: ## stop what `make up` started; its data is kept
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m deploy.local.up down; else echo "nothing runs here"; fi

status: ## show what `make up` started
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m deploy.local.up status; else echo "nothing runs here" >&2; exit 3; fi

bench: setup ## measure hub and exchange beside a bare relay (6 minutes); writes build/bench.json
	$(BIN)/python -m bench.run

bench-long: setup ## what takes longer: growth, urgent messages, memory (half an hour)
	$(BIN)/python -m bench.run --long

faults: setup ## every fault, the long ones too, and all other long tests (an hour); a table of all fifteen scenarios, build/faults.json
	$(BIN)/pytest tests/faults tests/system/test_hostile_connection.py -v -m "" --verdicts build/faults.json
	$(BIN)/pytest tests --ignore=tests/faults --ignore=tests/system/test_hostile_connection.py -v -m long

fuzz: setup ## hostile bytes for every parser, ten minutes (SECI_FUZZ_SECONDS); writes build/fuzz*.json
	$(BIN)/python -m tests.fuzz.run

schemas: setup ## write docs/schemas from the kinds; refuses what older nodes would not understand
	$(BIN)/python -m deploy.schemas

lock: ## pin the dependencies of pyproject.toml again, with hashes (needs uv)
	$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --upgrade --quiet --output-file requirements.lock

clean: ## stop what `make up` started; remove its data, .venv, .local, build and caches
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m deploy.local.clean; fi
	rm -rf .venv .local build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
