# Everything sets itself up: type `make demo` or `make test`.
#   make demo DEMO_FLAGS=--short    the short form
#   make test PYTEST_FLAGS="-m ''"  slow tests too
#   make test WORKERS=0             in one process, as pytest without options
#   make faults                     kills, full disks, damaged files: docs/reliability.md (an hour or more)
#   make docs                       the documentation, in site/
#   make PYTHON=python3.12 …        another Python, 3.10 to 3.13

PYTHON ?= python3
DEMO_DIR ?= demo
DEMO_FLAGS ?=
PYTEST_FLAGS ?=
WORKERS ?= logical
BIN := .venv/bin

.PHONY: demo test faults lint format docs setup clean

demo: .venv/.ready
	$(BIN)/jean demo -o "$(DEMO_DIR)" $(DEMO_FLAGS)
	@echo "Open in a browser: $$(realpath "$(DEMO_DIR)")/report.html"

test: .venv/.ready
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_FLAGS)

faults: .venv/.ready
	$(BIN)/python -m pytest -m '' --timeout 7200 --faults docs/reliability.md

lint: .venv/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/.ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt $(wildcard jean/kernels/csrc/*)
	@PYTHON=$(PYTHON) .ci/setup

clean:
	rm -rf .venv build dist site jean/kernels/*.so *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
