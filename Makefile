# Everything is set up from here: `make demo`, `make test`. Needs only Python >= 3.11, make and git.

PYTHON ?= python3
VENV := .venv
PREVIOUS := .venv-previous
BENCH := .venv-bench
MUTANTS := .venv-mutants
TOOLS := .tools
JOBS ?= 1
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test tools lint types contracts unit coverage proofs bite deep previous bench scenarios soak hour mutants diagrams clean

help:
	@echo "make demo   set up, then run the scripted outage on loopback (about 20 s)"
	@echo "make test   set up, then lint, types, import contracts, tests and specs"
	@echo "make tools  unpack a Prometheus for the tests, where apt-get has one"
	@echo "make coverage  set up, then measure which lines the tests reach"
	@echo "make bite   set up, then hunt every mutant of the tables (about a minute)"
	@echo "make deep   set up, then draw more and explore more, for a night"
	@echo "make bench  set up, then print the speed ratios of docs/benchmarks.md"
	@echo "make scenarios  set up, then print what seven libraries' breakers do in the same scenarios"
	@echo "make soak   set up, then make a million calls with faults and see that nothing is left over"
	@echo "make hour   set up, then play the strategies through an hour of faults, for docs/strategies-hour.md"
	@echo "make mutants  set up, then write docs/evidence.md: which changes of the core no test notices"

$(VENV)/demo.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "fsm_fallback needs Python >= 3.11; set PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[cli,openai,anthropic]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml $(VENV)/demo.stamp
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

# The SDKs one major back: the fault table is held against both generations.
$(PREVIOUS)/stamp: pyproject.toml
	@test -x $(PREVIOUS)/bin/python || $(PYTHON) -m venv $(PREVIOUS)
	$(PREVIOUS)/bin/python -m pip install --quiet 'pip>=25.1'
	$(PREVIOUS)/bin/python -m pip install --quiet --editable . 'openai<3' 'anthropic<2' --group test
	@touch $@

# The contenders of the benchmarks, pinned.
$(BENCH)/stamp: pyproject.toml
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet 'pip>=25.1'
	$(BENCH)/bin/python -m pip install --quiet --editable . --group bench
	@touch $@

# The tool that changes the core, pinned: another version makes other changes.
$(MUTANTS)/stamp: pyproject.toml
	@test -x $(MUTANTS)/bin/python || $(PYTHON) -m venv $(MUTANTS)
	$(MUTANTS)/bin/python -m pip install --quiet 'pip>=25.1'
	$(MUTANTS)/bin/python -m pip install --quiet --editable . --group mutants
	@touch $@

# A real Prometheus, out of Debian's package: unpacked here, installed nowhere. Where it cannot be had
# the tests that need it skip, and fail under CI.
$(TOOLS)/stamp:
	@mkdir -p $(TOOLS)
	@cd $(TOOLS) && if ( apt-get download prometheus || { apt-get update && apt-get download prometheus; } ) >apt.log 2>&1 \
		&& dpkg -x prometheus_*.deb . && rm prometheus_*.deb; \
		then touch stamp; else echo "tools: no prometheus for the tests (see $(TOOLS)/apt.log)"; fi

tools: $(TOOLS)/stamp

demo: $(VENV)/demo.stamp
	$(BIN)/python -m fsm_fallback demo

test: lint types contracts unit proofs bite previous

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy
	$(BIN)/pyright

contracts: $(VENV)/dev.stamp
	$(BIN)/lint-imports

unit: $(VENV)/dev.stamp $(TOOLS)/stamp
	$(BIN)/python -m pytest tests -n 2 --dist worksteal --durations=40

# What the examples reach; measuring doubles their time.
coverage: $(VENV)/dev.stamp $(TOOLS)/stamp
	$(BIN)/python -m pytest tests -n 2 --cov --cov-report=term:skip-covered

proofs: $(VENV)/dev.stamp
	$(BIN)/python -m pytest specs -n 2 --dist worksteal --durations=10

bite: $(VENV)/dev.stamp
	$(BIN)/python -m fsm_fallback spec bite --equivalent specs/equivalent.toml --jobs 2

# For a night: more examples, and larger scopes.
deep: $(VENV)/dev.stamp
	HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest specs -n 2 --dist worksteal --durations=10
	$(BIN)/python -m fsm_fallback spec check --profile deep

previous: $(PREVIOUS)/stamp
	$(PREVIOUS)/bin/python -m pytest tests/providers/test_sdk_errors.py

diagrams: $(VENV)/dev.stamp
	$(BIN)/python docs/render.py

bench: $(BENCH)/stamp
	$(BENCH)/bin/python benchmarks/table.py
	$(BENCH)/bin/python benchmarks/chain.py
	$(BENCH)/bin/python benchmarks/breaker.py
	$(BENCH)/bin/python benchmarks/strategies.py

scenarios: $(BENCH)/stamp
	@$(BENCH)/bin/python benchmarks/scenarios.py

# CALLS=100000 for a short one.
CALLS ?= 1000000
soak: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/soak.py --calls $(CALLS)

hour: $(VENV)/dev.stamp
	$(BIN)/python -m docs.hour

mutants: $(MUTANTS)/stamp
	$(MUTANTS)/bin/python docs/evidence.py --jobs $(JOBS)

clean:
	rm -rf $(VENV) $(PREVIOUS) $(BENCH) $(MUTANTS) $(TOOLS) .mutants
