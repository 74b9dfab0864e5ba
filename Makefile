# Every target does its own set-up: a machine needs Python 3.11-3.13, make and a package registry.
PYTHON ?= python3
# Each has its own Redis and PostgreSQL; the tests mostly wait, so two keep two cores busy.
TEST_PROCESSES ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test coverage test-slow faults lint format check bench load lock clean

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"livegift needs Python 3.11 to 3.13, found {v[0]}.{v[1]}: call make PYTHON=python3.12, for example")'
	@echo "setting up $(VENV) (a minute or two, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	@$(BIN)/livegift dev --demo

test: setup
	@$(BIN)/python -m pytest -m "not slow" -n $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

# Which lines `test` reaches in its own processes; a third slower.
coverage: PYTEST_ARGS += --cov --cov-report=term
coverage: test

# Whole systems under load, kills, faults: what CI runs beside `test`.
test-slow: setup
	@$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

# The random fault suite, as long as you like: make faults FAULTS="--seeds 1-20 --operations 5000 --faults 40"
faults: setup
	@$(BIN)/python -m tests.faults $(or $(FAULTS),--seeds 1-5 --operations 4000 --faults 40)

lint: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

check: lint test test-slow

bench: setup
	@$(BIN)/python -m loadtests.bench

load: setup
	@$(BIN)/python -m loadtests.run

# Writes the lock anew from pyproject.toml; needs uv.
lock:
	uv pip compile --quiet --universal --generate-hashes --all-extras --python-version 3.11 pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV)
