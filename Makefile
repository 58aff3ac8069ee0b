# `make demo` and `make test` each do everything from a fresh clone on; what is done already is not done again.
#   make demo PYTHON=python3.12             with an interpreter of one's choice
#   make test PYTEST_ARGS="-k reservation"  only some of the tests
#   make test WORKERS=0                     one after another; most of them wait more than they work
#   make test-matrix MATRIX=3.11-oldest     with one Python, and the oldest packages that labkit admits

PYTHON ?=
PYTEST_ARGS ?=
WORKERS ?= 4
PROGRAMS = tools/get-program chromium "the browser tests" chromium chromium-browser google-chrome \
	&& tools/get-program openssl "the tests of TLS" openssl \
	&& tools/get-program build-essential "the clock of the store in chaos runs" cc
DEMO_ARGS ?=
CHAOS_SEED ?=
CHAOS_FAULTS ?= 1000
SOAK_SECONDS ?= 600
FUZZ_ARGS ?=
BENCH_ARGS ?=

VENV      := .venv
BIN       := $(VENV)/bin
INSTALLED := $(VENV)/labkit-installed
TESTABLE  := $(VENV)/labkit-testable
VENDOR    := labkit/web/static/vendor/fetched-from
# What an installation is made from. A vendor folder that has gone is fetched again, by installing again.
SOURCES   := pyproject.toml hatch_build.py package-lock.json $(if $(wildcard $(VENDOR)),,FORCE)
PIP       := $(BIN)/python -m pip --disable-pip-version-check install --quiet

export PYTHON
# Else each of the many processes of a test run compiles labkit anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-search chaos soak fuzz test-matrix test-hardware bench lint audit reference clean FORCE
.DELETE_ON_ERROR:

help:  ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' Makefile | while read -r name text; do printf 'make %-13s %s\n' "$$name" "$$text"; done

demo: $(INSTALLED)  ## run the demo lab and print a student's link (Ctrl-C ends it)
	@$(BIN)/labkit demo $(DEMO_ARGS)

test: $(TESTABLE)  ## check the code and run all tests, in a real browser too
	@$(PROGRAMS)
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

test-search: $(TESTABLE)  ## try inputs that no run has tried yet, where tests make them up
	$(BIN)/python -m pytest -n $(WORKERS) --hypothesis-profile search $$(grep -rl "from hypothesis" tests) $(PYTEST_ARGS)

test-matrix:  ## run all tests with each Python, with the newest packages and with the oldest
	@$(PROGRAMS)
	@MATRIX="$(MATRIX)" tools/test-matrix -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

test-hardware: $(TESTABLE)  ## run the tests on real kernel devices, in a small virtual machine (HWVM=/path/to/hwvm)
	@tools/test-hardware $(PYTEST_ARGS)

chaos: $(TESTABLE)  ## do a thousand faults to a lab under load, and judge what came of it (CHAOS_FAULTS=, CHAOS_SEED=)
	@CHAOS_FAULTS="$(CHAOS_FAULTS)" CHAOS_SEED="$(CHAOS_SEED)" $(BIN)/python -m tests.chaos.chaos_run

soak: $(TESTABLE)  ## use a lab of eight benches for ten minutes, and see that nothing of it grows (SOAK_SECONDS=)
	@SOAK_SECONDS="$(SOAK_SECONDS)" $(BIN)/python -m tests.chaos.soak

fuzz: .fuzz/labkit-fuzzable  ## try 20,000 inputs that nobody foresaw at every door of a lab (FUZZ_ARGS="--seed 7")
	@.fuzz/bin/python -m tests.fuzz $(FUZZ_ARGS)

# In an environment of its own: schemathesis is a plugin of pytest, too, and all other tests are to run without it.
.fuzz/labkit-fuzzable: $(SOURCES)
	@[ -x .fuzz/bin/python ] || tools/make-venv .fuzz
	@echo "Installing labkit and what its fuzz needs into .fuzz ..."
	@.fuzz/bin/python -m pip --disable-pip-version-check install --quiet --editable '.[fuzz]'
	@touch $@

bench: $(TESTABLE)  ## measure labkit beside its peers, in real processes (BENCH_ARGS="--quick", "--only tasks")
	@$(PROGRAMS)
	@tools/make-peers .bench
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

lint: $(TESTABLE)  ## check style, types and floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(TESTABLE)  ## ask whether anything is known against what labkit installs; fails where nobody can say
	@[ -x .audit/bin/pip-audit ] || { tools/make-venv .audit && .audit/bin/python -m pip --disable-pip-version-check install --quiet pip-audit; }
	@$(BIN)/python tools/audit.py .audit/bin/pip-audit

reference: $(INSTALLED)  ## write docs/reference from the code
	@$(BIN)/python docs/generate.py

clean:  ## remove everything that make has made
	rm -rf $(VENV) .audit .fuzz .matrix .bench build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache $(dir $(VENDOR))
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@tools/make-venv $(VENV)

$(INSTALLED): $(BIN)/python $(SOURCES)
	@echo "Installing labkit into $(VENV) ..."
	@$(PIP) --editable .
	@touch $@

$(TESTABLE): $(BIN)/python $(SOURCES)
	@echo "Installing labkit and what its tests need into $(VENV) ..."
	@$(PIP) --editable '.[test]'
	@touch $(INSTALLED) $@
