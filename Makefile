# Programs are in experiments/targets.py, their variables, explained and checked, in variables.py; `make help` prints both.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# PYTHON=python, or PY=python, uses that interpreter as it is (an active conda environment); otherwise .venv is made on
# first use.
READY :=
ifeq ($(origin PYTHON),command line)
PY := $(PYTHON)
else ifneq ($(origin PY),command line)
PY := .venv/bin/python
READY := .venv/.installed
endif
# CONSTRAINTS=constraints.txt installs the exact versions that CI tests with
CONSTRAINTS ?=
BASE_PYTHON ?= python3
# processes that share the tests; each test runs on one thread
TEST_WORKERS ?= 2
# further options of pytest
TEST_OPTIONS ?=

# values reach programs by MAKEFLAGS and the environment, so that neither make nor a shell expands what was typed
PROGRAMS := all table1 report columns archive engines tune conditional conditional-sweep compositional compositional-sweep ood ablations chains features speed-memory \
	bench bench-save bench-compare gpu-natural status logs cancel resume readme data weights fuzz

.PHONY: $(PROGRAMS)
$(PROGRAMS): $(READY)
	@"$(PY)" -m experiments.variables $@

.PHONY: help
help: ## List the targets and the variables
	@$(BASE_PYTHON) -m experiments.variables help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

.PHONY: slurm-demo
slurm-demo: $(READY) ## Quick Table 1 through a one-node Slurm that is started on this machine (Debian packages)
	@scripts/slurm-demo "$${PROFILE:-quick}" "$${OUT:-results}"

.PHONY: test
test: $(READY) ## Run the tests, but for those of test-slow
	@"$(PY)" -m pytest -n $(TEST_WORKERS) --dist loadfile $(TEST_OPTIONS) -m "not slow"

.PHONY: test-fast
test-fast: test  # its name before there was test-slow

.PHONY: test-slow
test-slow: $(READY) ## Run the tests that walk from nothing to a finished table, or take more than a few seconds each
	@"$(PY)" -m pytest -n $(TEST_WORKERS) --dist loadfile $(TEST_OPTIONS) -m slow

.PHONY: pythons
pythons: ## The smoke Table 1 and the tests on every supported Python that is installed, each in an environment of 6 GB
	@scripts/pythons

# what fails does not keep the rest from being measured: a GPU may be at hand for minutes only
GPU_TABLE = -m experiments speed-memory --profile paper --device cuda --rounds 5 --no-scaling --out "$${OUT:-results}"
# engines that the methods of a comparison share
GPU_TABLES = "--methods=plain,clel" "--engine=bfloat16 --methods=clel:large,drl:paper"

.PHONY: gpu-check
gpu-check: $(READY) ## Check and measure on a CUDA device, some ten minutes: tests/gpu, the engine's switches, Table 1b
	@"$(PY)" -m experiments.speed.cuda
	@failed=; \
	"$(PY)" -m pytest -o addopts='-q -p no:cacheprovider' $$("$(PY)" -c 'import xdist' 2>/dev/null && printf -- '-n %s' $(TEST_WORKERS)) -m gpu tests/gpu || failed="$$failed tests/gpu"; \
	"$(PY)" -m experiments bench --device cuda --save --force $${BASELINE:+--baseline "$$BASELINE"} || failed="$$failed bench"; \
	for rows in $(GPU_TABLES); do env -u OMP_NUM_THREADS "$(PY)" $(GPU_TABLE) $$rows || failed="$$failed speed-memory $$rows"; done; \
	test -z "$$failed" || { echo "gpu-check: failed:$$failed (see above)"; exit 1; }

.PHONY: lint
lint: $(READY) ## Check format, lint and types
	@"$(PY)" -m ruff format --check . && "$(PY)" -m ruff check . && "$(PY)" -m mypy

.venv/.installed: pyproject.toml
	@$(BASE_PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
		|| { echo "$$($(BASE_PYTHON) --version) found; Python 3.10 to 3.13 is needed: make BASE_PYTHON=python3.12 ..."; exit 1; }
	$(BASE_PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	.venv/bin/python -m pip install --quiet $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) --editable '.[dev]'
	@touch $@

.PHONY: clean
clean: ## Remove the environment and caches; keeps results/ and data/
	rm -rf .venv .pythons .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks *.egg-info
