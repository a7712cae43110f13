# `make demo` runs the quickstart, `make check` checks a change within minutes, and `make test` runs
# all tests. Each makes .venv first.
# A torch that the machine already has is used as it is; elsewhere TORCH names the one to install,
# e.g. `make demo TORCH="torch --index-url https://download.pytorch.org/whl/cpu"`.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
HAS_TORCH := $(PYTHON) -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"

.PHONY: demo check test lint types format clean

demo: $(VENV)/.installed
	$(BIN)/editloop run quickstart --out runs/quickstart

# One process a core, each with one thread: the tests of a file stay in order in one of them.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

# The tests that are not marked slow.
check: lint types
	$(PYTEST) -m "not slow"

test: lint types
	$(PYTEST)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch comes first and by name: whatever depends on it then takes the build that is there.
$(VENV)/.installed: pyproject.toml
	if $(HAS_TORCH); then $(PYTHON) -m venv --system-site-packages $(VENV); \
	else $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -q $(TORCH); fi
	$(BIN)/python -m pip install -q -e ".[train,dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
