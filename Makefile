# One command does the main job, one passes the tests; both set everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow check format setup peers clean

demo: $(READY)  ## from the Complete Journey history to a policy table and a report
	$(BIN)/python -m experiments.run

test: $(VENV)/.ready-dev check  ## set-up, checks and fast tests

test-slow: $(VENV)/.ready-dev  ## kills, browser, real data, README commands
	$(BIN)/python -m pytest -m slow -q -n 2 --dist loadgroup

check: $(VENV)/.ready-dev  ## format, lint, types, import contracts, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not slow" -q -n 2 --dist loadgroup

format: $(VENV)/.ready-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(VENV)/.ready-dev

PEERS := $(basename $(notdir $(wildcard experiments/peers/*.txt)))

peers: $(PEERS:%=.peers/%/.ready)  ## what `benchmark` compares with, each in an environment of its own

# One that cannot be installed is named, and stops none of the others. What asks for versions that no longer exist
# stands in alone/ and is installed without what it asks for.
.peers/%/.ready: experiments/peers/%.txt
	@mkdir -p .peers; echo "peers: $*"
	@{ $(PYTHON) -m venv --clear .peers/$* && .peers/$*/bin/python -m pip install --quiet --requirement $< \
	  && if test -e experiments/peers/alone/$*.txt; then \
	    .peers/$*/bin/python -m pip install --quiet --no-deps --requirement experiments/peers/alone/$*.txt; fi \
	  && touch $@; } > .peers/$*.log 2>&1 \
	  || { echo "peers: $* is not installed: $$(grep ERROR .peers/$*.log | tail -n 1)"; rm -rf .peers/$*; }

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Offersmith needs Python 3.11 or newer; try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.ready-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@ $(READY)

clean:
	rm -rf $(VENV) .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis
