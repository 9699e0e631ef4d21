# Every target with a line of help shows up in `make help`, which lists the variables too.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PROFILE ?= quick
SEEDS ?= 1
OUT ?= results

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

# A variable that is on or off: $(call on,NAME) and $(call off,NAME) are not empty where it says so. Any other word than
# these is an error; nothing is neither, so that the default holds.
comma := ,
known = $(if $(filter-out 1 yes true 0 no false,$($1)),$(error $1=$($1): it is on or off; give 1, yes or true, or 0, no or false))
on = $(known)$(filter 1 yes true,$($1))
off = $(known)$(filter 0 no false,$($1))

# resources of a job and sbatch's parameters, for CLUSTER=slurm; what is not given is in experiments/resources.csv
SUBMIT = $(if $(PARTITION),--slurm.partition '$(PARTITION)') $(if $(GPUS),--slurm.gpus $(GPUS)) \
	$(if $(RUNS_PER_GPU),--slurm.runs-per-gpu $(RUNS_PER_GPU)) \
	$(if $(CPUS),--slurm.cpus $(CPUS)) $(if $(MEMORY),--slurm.memory $(MEMORY)) $(if $(LIMIT_MINUTES),--slurm.limit-minutes $(LIMIT_MINUTES)) \
	$(if $(SLURM),--slurm.sbatch '$(SLURM)') $(if $(SETUP),--slurm.setup '$(SETUP)') $(if $(NOTICE),--slurm.notice $(NOTICE)) \
	$(if $(PARALLEL),--slurm.parallel $(PARALLEL)) $(if $(REQUEUES),--slurm.requeues $(REQUEUES)) \
	$(if $(call on,FORCE),--slurm.force)

# what names a table and its folder
NAMED = --profile '$(PROFILE)' --out '$(OUT)' $(if $(METHODS),--methods '$(METHODS)') $(if $(DATASET),--dataset '$(DATASET)') \
	$(if $(FEATURES),--features '$(FEATURES)') $(if $(PROTOCOLS),--protocols '$(PROTOCOLS)') \
	--seeds $(SEEDS) $(if $(SAMPLING_SEEDS),--sampling-seeds $(SAMPLING_SEEDS)) $(if $(ENGINE),--engine '$(ENGINE)') $(if $(MINUTES),--minutes $(MINUTES)) \
	$(if $(SET),--set '$(SET)') $(if $(call on,RATES),--rates True) $(if $(call off,RATES),--rates False) $(if $(EXTERNAL),--external '$(EXTERNAL)')

TABLE1 = $(PY) -m experiments table1 $(NAMED) $(if $(DEVICE),--device $(DEVICE)) \
	$(if $(WORKERS),--workers $(WORKERS)) $(if $(RUNS_PER_GPU),--runs-per-gpu $(RUNS_PER_GPU)) $(if $(call on,PROJECT),--project) $(if $(CLUSTER),--cluster '$(CLUSTER)') $(SUBMIT)

SWEEPING = --out '$(OUT)' $(if $(SWEEP),--sweep '$(SWEEP)')

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'
	@echo "  variables: PROFILE=smoke|quick|evening|small|paper SEEDS=3 METHODS=igebm,clel DATASET=... DEVICE=cuda WORKERS=2 RUNS_PER_GPU=4 OUT=results PLAN=1"
	@echo "             FEATURES=classifier|lite0|inception-clean|inception-clean,lite0 PROTOCOLS=clean,paper SAMPLING_SEEDS=3 ENGINE=exact EXTERNAL=my.csv PROJECT=1 RATES=0"
	@echo "             MINUTES=9 trains every method for so long, in the place of its preset's iterations"
	@echo "             SET='langevin.steps=10,30; lr=0.001' for a row each, beside the default"
	@echo "  tune:      AFRESH=1 trains what experiments/tuning.csv has too, KEEP=1 writes it; beside PROFILE, METHODS, DATASET, DEVICE, WORKERS and OUT"
	@echo "  compositional: ASKED='red,circle,large; blue,square,dark' WEIGHT=0.1 STEPS=30 START=noise|samples CENTRED=0 SAMPLES=250 SWEEP=1, with PROFILE=smoke|quick|paper"
	@echo "  features:  IMAGES=1500 SIDES=96,224 for features, beside SEEDS, DATASET, DEVICE and OUT"
	@echo "  speed:     BATCH=64 ROUNDS=15 THREADS=1 SCALING=0 SIDE_BY_SIDE=1 REPORT=1 for speed-memory, beside PROFILE, METHODS, DEVICE, ENGINE and OUT"
	@echo "             SELECT=frechet ROUNDS=5 DEVICE=cuda BASELINE=my.json LIMIT=1.2 FORCE=1 for bench, bench-save, bench-compare"
	@echo "  gpu-natural: MINUTES=8 BUDGET=12 SAMPLES=10000 REPORT=1, beside PROFILE, DATASET, DEVICE, FEATURES and OUT"
	@echo "  on Slurm:  CLUSTER=slurm PARTITION=gpu GPUS=1 CPUS=4 MEMORY=24 LIMIT_MINUTES=1440 SLURM='account=x,qos=y' SETUP='module load cuda'"
	@echo "             PARALLEL=100 REQUEUES=20 NOTICE=180 FORCE=1; SWEEP=... RUN=... for status, logs, cancel, resume"

.PHONY: table1
table1: $(READY) ## Train every method and write results/PROFILE/table1.md and figures; PLAN=1 only says what would run
	@$(TABLE1) $(if $(call on,PLAN),--plan)

.PHONY: status
status: $(READY) ## On Slurm: where the runs of the latest sweep stand, or of SWEEP=...
	@$(PY) -m experiments status $(SWEEPING)

.PHONY: logs
logs: $(READY) ## On Slurm: the end of a run's output over all its attempts: make logs RUN=<beginning of its name>
	@$(PY) -m experiments logs $(SWEEPING) --run '$(RUN)'

.PHONY: cancel
cancel: $(READY) ## On Slurm: cancel the jobs of the latest sweep, or of RUN=...; runs save their state and leave
	@$(PY) -m experiments cancel $(SWEEPING) $(if $(RUN),--run '$(RUN)')

.PHONY: resume
resume: $(READY) ## On Slurm: submit just what the latest sweep lacks (here the same make table1 goes on)
	@$(if $(MINUTES),$(error MINUTES is how long runs train, which a resumed one keeps; a job's limit is LIMIT_MINUTES))$(PY) -m experiments resume $(SWEEPING) $(SUBMIT)

.PHONY: slurm-demo
slurm-demo: $(READY) ## Quick Table 1 through a one-node Slurm that is started on this machine (Debian packages)
	@scripts/slurm-demo '$(PROFILE)' '$(OUT)'

.PHONY: tune
tune: $(READY) ## Train and score the declared trials of every method's settings, on seeds that no table reports: results/tune-PROFILE
	@$(PY) -m experiments tune --profile '$(PROFILE)' --out '$(OUT)' $(if $(METHODS),--methods '$(METHODS)') $(if $(DATASET),--dataset '$(DATASET)') \
		$(if $(DEVICE),--device $(DEVICE)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(RUNS_PER_GPU),--runs-per-gpu $(RUNS_PER_GPU)) $(if $(CLUSTER),--cluster '$(CLUSTER)') $(SUBMIT) \
		$(if $(call on,AFRESH),--afresh) $(if $(call on,KEEP),--keep) $(if $(call on,PLAN),--plan) $(if $(call on,REPORT),--report)

# what artefacts of trained runs (experiments/measured) share
MEASURED = $(PY) -m experiments $@ --profile '$(PROFILE)' --out '$(OUT)' --seeds $(SEEDS) $(if $(DATASET),--dataset '$(DATASET)') \
	$(if $(DEVICE),--device $(DEVICE)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(RUNS_PER_GPU),--runs-per-gpu $(RUNS_PER_GPU)) \
	$(if $(CLUSTER),--cluster '$(CLUSTER)') $(SUBMIT) $(if $(call on,PLAN),--plan) $(if $(call on,REPORT),--report)

.PHONY: compositional
compositional: $(READY) ## Compose attributes in samples of a CLEL trained without labels: results/PROFILE/compositional.md; SWEEP=1 tries settings
	@$(MEASURED) $(if $(ASKED),--asked '$(ASKED)') $(if $(WEIGHT),--weight $(WEIGHT)) $(if $(STEPS),--steps $(STEPS)) $(if $(START),--start '$(START)') \
		$(if $(call on,CENTRED),--centred True) $(if $(call off,CENTRED),--centred False) $(if $(SAMPLES),--samples $(SAMPLES)) $(if $(call on,SWEEP),--sweep)

.PHONY: chains
chains: $(READY) ## Study fresh chains against the replay buffer: results/chains, with PROFILE=evening -evening (docs/protocol.md)
	@$(PY) -m experiments chains --profile '$(PROFILE)' --out '$(OUT)' $(if $(DATASET),--dataset '$(DATASET)') \
		$(if $(filter-out file,$(origin SEEDS)),--seeds $(SEEDS)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(DEVICE),--device $(DEVICE))

.PHONY: features
features: $(READY) ## Ladders of corruptions: at which side images are resized for Lite0's features: results/features (docs/protocol.md)
	@$(PY) -m experiments features --out '$(OUT)' $(if $(DATASET),--dataset '$(DATASET)') \
		$(if $(IMAGES),--images $(IMAGES)) $(if $(SIDES),--sides $(subst $(comma), ,$(SIDES))) --seeds $(SEEDS) $(if $(DEVICE),--device $(DEVICE))

.PHONY: report
report: $(READY) ## Make Table 1 and its figures again from the finished runs
	@$(TABLE1) --report

.PHONY: archive
archive: $(READY) ## Keep in OUT/records what tables show of finished runs, for PROJECT=1 (docs/records.md); variables as make table1 had
	@$(TABLE1) --archive

.PHONY: engines
engines: $(READY) ## Hold the table of make table1 against that with ENGINE=exact, or another; variables as make table1 had
	@$(PY) -m experiments engines $(NAMED)

.PHONY: test
test: $(READY) ## Run the whole test suite
	@$(PY) -m pytest -n $(TEST_WORKERS) --dist loadfile

.PHONY: test-fast
test-fast: $(READY) ## Run the tests that take less than a few seconds each
	@$(PY) -m pytest -n $(TEST_WORKERS) --dist loadfile -m "not slow"

.PHONY: speed-memory
speed-memory: $(READY) ## Measure time, memory and operations of every method: results/PROFILE/speed_memory.md and figures
	@$(PY) -m experiments speed-memory --profile $(PROFILE) --out '$(OUT)' $(if $(METHODS),--methods '$(METHODS)') \
		$(if $(DEVICE),--device $(DEVICE)) $(if $(BATCH),--batch $(BATCH)) $(if $(ENGINE),--engine '$(ENGINE)') $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(THREADS),--threads $(THREADS)) $(if $(call off,SCALING),--no-scaling) $(if $(call on,SIDE_BY_SIDE),--side-by-side) \
		$(if $(call on,REPORT),--report)

BENCH = -m experiments bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SELECT),--select '$(SELECT)') \
	$(if $(DEVICE),--device $(DEVICE)) $(if $(BASELINE),--baseline '$(BASELINE)')

.PHONY: bench
bench: $(READY) ## Run every benchmark, with DEVICE=cuda the engine's there; ROUNDS=1 only sees that they run, SELECT=... takes some
	@$(PY) $(BENCH)

.PHONY: bench-save
bench-save: $(READY) ## Keep the benchmarks' times in results/bench/baseline.json (-cuda.json), or BASELINE=...; FORCE=1 even under load
	@$(PY) $(BENCH) --save $(if $(call on,FORCE),--force)

.PHONY: bench-compare
bench-compare: $(READY) ## Run the benchmarks again: ratios to the baseline that bench-save kept, or else to the project's; refused on another machine
	@$(PY) $(BENCH) --compare $(if $(LIMIT),--limit $(LIMIT))

# what fails does not keep the rest from being measured: a GPU may be at hand for minutes only
GPU_TABLE = -m experiments speed-memory --profile paper --device cuda --rounds 5 --no-scaling --out '$(OUT)'
# engines that the methods of a comparison share
GPU_TABLES = "--methods=plain,clel" "--engine=bfloat16 --methods=clel:large,recovery_likelihood:paper"

.PHONY: gpu-check
gpu-check: $(READY) ## Check and measure on a CUDA device, some ten minutes: tests/gpu, the engine's switches, Table 1b at the paper's size
	@$(PY) -m experiments.speed.cuda
	@failed=; \
	$(PY) -m pytest -o addopts='-q -p no:cacheprovider' $$($(PY) -c 'import xdist' 2>/dev/null && printf -- '-n %s' $(TEST_WORKERS)) -m gpu tests/gpu || failed="$$failed tests/gpu"; \
	$(PY) -m experiments bench --device cuda --save --force $(if $(BASELINE),--baseline '$(BASELINE)') || failed="$$failed bench"; \
	for rows in $(GPU_TABLES); do env -u OMP_NUM_THREADS $(PY) $(GPU_TABLE) $$rows || failed="$$failed speed-memory $$rows"; done; \
	test -z "$$failed" || { echo "gpu-check: failed:$$failed (see above)"; exit 1; }

.PHONY: gpu-natural
gpu-natural: $(READY) ## On a borrowed card: CLEL, the plain EBM and IGEBM side by side for MINUTES=8, packed; later REPORT=1
	@$(PY) -m experiments gpu-natural --out '$(OUT)' --profile $(if $(filter command line environment,$(origin PROFILE)),'$(PROFILE)',small) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(BUDGET),--budget $(BUDGET)) $(if $(DATASET),--dataset '$(DATASET)') \
		$(if $(SAMPLES),--samples $(SAMPLES)) $(if $(DEVICE),--device $(DEVICE)) $(if $(FEATURES),--features '$(FEATURES)') \
		$(if $(call on,REPORT),--report)

.PHONY: data
data: $(READY) ## Download and check a data set: make data DATASET=cifar10
	@$(PY) -m clel.data '$(DATASET)'

.PHONY: weights
weights: $(READY) ## Download and check the Inception weights (CLEL_CACHE, or ./cache); FEATURES=dinov2 for those of DINOv2
	@$(PY) -m clel.metrics $(if $(FEATURES),--features '$(FEATURES)')

.PHONY: lint
lint: $(READY) ## Check format, lint and types
	@$(PY) -m ruff format --check . && $(PY) -m ruff check . && $(PY) -m mypy

.PHONY: readme
readme: $(READY) ## Put the project's own Table 1 into README.md
	@$(PY) -m experiments readme

.venv/.installed: pyproject.toml
	@$(BASE_PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' \
		|| { echo "$$($(BASE_PYTHON) --version) found; Python 3.10 to 3.13 is needed: make BASE_PYTHON=python3.12 ..."; exit 1; }
	$(BASE_PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	.venv/bin/python -m pip install --quiet $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) --editable '.[dev]'
	@touch $@

.PHONY: clean
clean: ## Remove the environment and caches; keeps results/ and data/
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks *.egg-info
