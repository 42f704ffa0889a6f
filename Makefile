# make train | test | test-all | test-pythons | check | format | docs | loops | bench | results | wheels | stress: each makes .venv when it is missing or out of date.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRAIN_ARGS ?= --optimizer adam

DATA ?= datasets
PEERS ?= $(BIN)/python
PYTEST := $(BIN)/python -m pytest -n auto --dist loadgroup

.PHONY: train test test-slow test-all test-pythons check format docs loops bench bench-doctor results wheels stress clean

train: $(VENV)/.train $(VENV)/.loops
	$(BIN)/python train.py $(TRAIN_ARGS)

# Bytecode is kept, or every worker and process of the tests would compile all anew.
test test-slow: export PYTHONDONTWRITEBYTECODE =

# A minute or two: lint, types, and the tests that are not marked slow, which cover 95 % by themselves.
test: check
	$(PYTEST) -m "not slow" --cov --cov-report=term-missing:skip-covered $(PYTEST_ARGS)

test-slow: $(VENV)/.test
	$(PYTEST) -m slow $(PYTEST_ARGS)

# Each test once.
test-all: test test-slow

# The quick tests on every other Python from 3.11 on that is here, each in an environment of its own.
test-pythons: $(VENV)/.test
	$(BIN)/python tests/pythons.py

check: $(VENV)/.test $(VENV)/.loops
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.test
	$(BIN)/python docs/make_optimizers.py
	$(BIN)/python docs/make_options.py
	$(BIN)/python docs/make_rooms.py
	$(BIN)/python docs/make_data.py
	$(BIN)/python docs/make_estimator.py
	$(BIN)/python docs/make_doctor.py

bench: $(VENV)/.test
	$(BIN)/python bench/digits_against_sklearn.py
	$(BIN)/python bench/optimizers_on_digits.py
	$(BIN)/python bench/quadratic_deep.py
	$(BIN)/python bench/mnist_epoch.py --data-dir $(DATA)
	$(BIN)/python bench/compare_optimizers.py --data-dir $(DATA)
	$(BIN)/python bench/regularization_cost.py --data-dir $(DATA)
	$(BIN)/python bench/compare_checks.py --data-dir $(DATA)
	$(BIN)/python bench/convolution.py --peers $(PEERS)
	$(BIN)/python bench/speed.py --data-dir $(DATA) --peers $(PEERS)
	$(BIN)/python bench/scaling.py --data-dir $(DATA)
	$(BIN)/python bench/ranks.py --data-dir $(DATA)
	$(BIN)/python bench/profile_step.py --data-dir $(DATA) --batch 128 --net 784-100-10 784-512-512-10
	$(MAKE) bench-doctor

# The doctor on planted faults and healthy runs, about an hour on two cores; it goes on from its file.
bench-doctor: $(VENV)/.test
	$(BIN)/python bench/doctor.py --data-dir $(DATA)

# Every recipe over its seeds, about two hours on two cores; what was measured before is kept.
results: $(VENV)/.train
	$(BIN)/python bench/results.py --data-dir $(DATA)

# The loops of rules and activations, written anew where a formula has changed, and compiled.
loops: $(VENV)/.loops

# Two wheels in dist/: one with loops for this platform, for every Python from 3.11 on, and a pure one.
wheels: $(VENV)/.test
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .
	SCRATCHNET_LOOPS=0 $(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

stress: $(VENV)/.stress
	$(BIN)/python stress/all.py

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache

# editable_mode=compat: a plain path, or the checkout's parent folder would hide the package.
# An environment is set up once: its stamp is newer than the files that say what belongs in it.
FORMULAS := $(wildcard scratchnet/optimizers/*.py scratchnet/layers/*.py scratchnet/loops/*.py)
LOOPS := setup.py $(wildcard scratchnet/loops/*.[ch])

$(VENV)/.train: setup.cfg pyproject.toml $(LOOPS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --config-settings editable_mode=compat --editable '.[report,images]'
	@touch $@

$(VENV)/.test: setup.cfg pyproject.toml $(LOOPS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --config-settings editable_mode=compat --editable '.[test]'
	@touch $@ $(VENV)/.train

$(VENV)/.stress: setup.cfg pyproject.toml $(LOOPS) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --config-settings editable_mode=compat --editable '.[stress]'
	@touch $@ $(VENV)/.test $(VENV)/.train

$(VENV)/.loops: $(FORMULAS) | $(VENV)/.train
	$(BIN)/python -m scratchnet.optimizers scratchnet/loops/rules.h
	$(BIN)/python -m scratchnet.layers scratchnet/loops/activations.h
	@test -z "$$(find scratchnet/loops -name '*.h' -newer $(VENV)/.train)" || \
	  $(BIN)/python -m pip install --quiet --no-deps --config-settings editable_mode=compat --editable .
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "scratchnet needs Python 3.11 or newer, $(PYTHON) is older or missing;" \
	    "name another: make PYTHON=python3.12 train" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
