# make demo: set-up, then the main job on the bundled clips.
# make test: set-up, then all tests.      make check: formatting, lint, types.
# make bench: speed and memory against the reference script.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := pipeline transforms training benchmarks demo tests setup.py

.PHONY: demo test check bench

.venv/ready: setup.py pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "needs Python 3.11"'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: .venv/ready
	$(BIN)/fsdsinet extract --config configs/demo.yaml
	$(BIN)/fsdsinet plot out/demo --clip drums --output out/demo.png

test: .venv/ready
	$(BIN)/pytest

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES)

bench: .venv/ready
	$(BIN)/python -m training.random_graphs full
	$(BIN)/python -m benchmarks.extract_speed --memory
	$(BIN)/python -m benchmarks.plan_million
