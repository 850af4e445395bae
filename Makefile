# make demo: set-up, then the main job on the bundled clips.
# make test: set-up, then all tests.      make check: formatting, lint, types.
# make minio: builds the server that the tests of buckets need, with Go (3 minutes).
# make test-minio: the tests of buckets.
# make test-training: the tests of the networks that are trained, in a venv of their own.
# make train: renders sounds, trains a demo model (over an hour), scores and bundles it;
#   MODEL=fsd-sinet-vgg41-half-tlpf_aps-demo: the smaller one.
# make bench: speed beside the reference script and other engines, the short version.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := pipeline transforms training benchmarks demo tests setup.py

.PHONY: demo test test-minio minio test-training train check bench

.venv/ready: setup.py pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "needs Python 3.11"'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: .venv/ready
	$(BIN)/fsdsinet extract --config configs/demo.yaml
	$(BIN)/fsdsinet top out/demo --column description --labels 5
	$(BIN)/fsdsinet plot out/demo --clip drum_loop --output out/demo.png
	$(BIN)/fsdsinet report out/demo --output out/demo.html

test: .venv/ready
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal -m 'not minio'

MINIO_VERSION := v0.0.0-20260212201848-7aac2a2c5b7c

minio: build/bin/minio

build/bin/minio:
	GOBIN=$(CURDIR)/build/bin go install -ldflags='-s -w' \
	  github.com/minio/minio@$(MINIO_VERSION)

test-minio: .venv/ready
	$(BIN)/pytest -m minio

.venv-training/ready: training/requirements.txt
	$(PYTHON) -m venv .venv-training
	.venv-training/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

test-training: .venv/ready .venv-training/ready
	PYTHONPATH=. .venv-training/bin/pytest training/tests

MODEL ?= fsd-sinet-vgg41-tlpf-demo
TRAINED := build/training/$(MODEL)/$(MODEL).pb
IN_TRAINING := PYTHONPATH=. .venv-training/bin/python -m

train: .venv/ready .venv-training/ready
	$(BIN)/python -m training.render trained
	$(BIN)/python -m training.render calibration
	$(BIN)/python -m training.render held_out
	$(IN_TRAINING) training.train $(MODEL)
	$(BIN)/python -m training.export_check essentia $(TRAINED)
	$(IN_TRAINING) training.export_check keras $(MODEL)
	$(BIN)/python -m training.evaluate $(TRAINED)
	$(BIN)/python -m training.model_card $(TRAINED)

.venv-bench/ready: benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES)

bench: .venv/ready .venv-bench/ready
	$(BIN)/python -m training.random_graphs full
	$(BIN)/python -m benchmarks.engine_speed --rounds 1
	$(BIN)/python -m benchmarks.engine_layers
	$(BIN)/python -m benchmarks.front_end_speed --rounds 3
	$(BIN)/python -m benchmarks.extract_speed --clips 40
	$(BIN)/python -m benchmarks.plan_million
