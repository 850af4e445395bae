# make demo: set-up, then the main job on the bundled clips.
# make test: set-up, then the tests.      make check: formatting, lint, types.
# make test-slow: the tests that take longest, most of which kill what they test.
# make test-wheel: the examples from a wheel, in an environment of their own.
# make prism: builds Beam's Prism runner with Go; one test runs the main job on Prism.
# make minio: builds the store that the tests of buckets need, with Go (3 minutes).
# make test-minio: the tests of buckets.
# make flink: builds Beam's job server and fetches Flink, with Java and Maven (2 minutes).
# make test-flink: the tests of clusters, on a Flink that they start on this machine.
# make test-training: the tests of training, in an environment of their own.
# make torch: installs PyTorch with CUDA (5 GB) for the engine torch.
# make test-torch: the tests of that engine, on the CPU.
# make image: the container image of cluster workers, with Docker; image-gpu: with PyTorch.
# make train: renders sounds, trains a demo model (over an hour), scores and bundles it;
#   MODEL=fsd-sinet-vgg41-half-tlpf_aps-demo selects the smaller model.
# make bench: measures speed beside the reference script and other engines, in short.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := pipeline transforms training benchmarks demo deploy examples tests setup.py

.PHONY: demo test test-slow test-wheel test-minio minio prism test-flink flink torch test-torch image image-gpu image-files test-training train check bench

.venv/ready: setup.py pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "needs Python 3.11"'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: .venv/ready
	$(BIN)/fsdsinet extract --config configs/demo.yaml
	$(BIN)/fsdsinet top out/demo --column description --labels 5
	$(BIN)/fsdsinet plot out/demo --clip drum_loop --output out/demo.png
	$(BIN)/fsdsinet events out/demo --leaves --output out/demo.csv
	$(BIN)/fsdsinet report out/demo --output out/demo.html

test: .venv/ready build/dataflow/ready
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal -m 'not slow and not minio and not flink and not torch'

test-slow: .venv/ready build/dataflow/ready
	$(BIN)/pytest -n 2 --dist worksteal -m 'slow and not minio and not flink and not torch'

MINIO_VERSION := v0.0.0-20260212201848-7aac2a2c5b7c

minio: build/bin/minio

build/bin/minio:
	GOBIN=$(CURDIR)/build/bin go install -ldflags='-s -w' \
	  github.com/minio/minio@$(MINIO_VERSION)

test-minio: .venv/ready
	$(BIN)/pytest -n 2 --dist worksteal -m minio

prism: build/bin/prism

# The same version as Beam in setup.py.
build/bin/prism:
	GOBIN=$(CURDIR)/build/bin go install -ldflags='-s -w' \
	  github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0

FLINK := build/flink/flink-1.19.3
# Its schema checks deploy/flink/kubernetes.yaml.
OPERATOR_VERSION := 1.10.0
OPERATOR := flink-kubernetes-operator-api

flink: .venv/ready build/flink/job-server.jar $(FLINK)/ready \
  build/flink/$(OPERATOR)-$(OPERATOR_VERSION).jar

build/flink/job-server.jar: deploy/flink/pom.xml
	@for tool in java mvn; do command -v $$tool > /dev/null || { \
	  echo "no $$tool: make flink needs Java 17 and Maven" >&2; exit 1; }; done
	mvn --quiet --batch-mode --file $< package
	mv build/flink/maven/job-server.jar $@
	rm -r build/flink/maven

$(FLINK)/ready: deploy/flink/requirements.txt
	mkdir -p $(FLINK)
	$(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps \
	  --require-hashes --dest build/flink/download -r $<
	tar --no-same-owner -xzf build/flink/download/*.tar.gz -C $(FLINK) --strip-components=3 \
	  --wildcards '*/deps/lib/flink-dist-*.jar' '*/deps/lib/log4j-*.jar'
	rm -r build/flink/download
	touch $@

build/flink/$(OPERATOR)-$(OPERATOR_VERSION).jar:
	mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
	  -Dartifact=org.apache.flink:$(OPERATOR):$(OPERATOR_VERSION) -DoutputDirectory=$(@D)

build/dataflow/ready: .venv/ready deploy/dataflow/requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade \
	  --target build/dataflow -r deploy/dataflow/requirements.txt
	touch $@

test-flink: .venv/ready
	$(BIN)/pytest -n 2 --dist loadfile -m flink

torch: .venv/torch-ready

# The same Essentia as in setup.py, without its TensorFlow.
.venv/torch-ready: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[torch]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade \
	  --target build/essentia essentia==2.1b6.dev1389
	touch $@

test-torch: torch
	$(BIN)/pytest -n 2 -m torch

# The examples, from a wheel in an environment with nothing else of this project.
# pip would compile all modules, and the tests import a part of them.
WHEEL_PYTHON := $(CURDIR)/build/wheel/venv/bin/python

test-wheel: .venv/ready
	rm -rf build/wheel build/lib build/bdist.*
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps \
	  --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	$(WHEEL_PYTHON) -m pip install --quiet --disable-pip-version-check \
	  --no-compile build/wheel/*.whl ipykernel nbclient onnx onnxruntime pandas
	FSDSINET_WHEEL_PYTHON=$(WHEEL_PYTHON) $(BIN)/pytest -n 2 --dist worksteal \
	  tests/project/test_examples.py

.venv-training/ready: training/requirements.txt
	$(PYTHON) -m venv .venv-training
	.venv-training/bin/pip install --quiet --disable-pip-version-check \
	  --no-compile -r $<
	touch $@

test-training: .venv/ready .venv-training/ready
	PYTHONPATH=. .venv-training/bin/pytest training/tests

MODEL ?= fsd-sinet-vgg41-tlpf-demo
TRAINED := build/training/$(MODEL)/$(MODEL).pb
IN_TRAINING := PYTHONPATH=. .venv-training/bin/python -m

train: .venv/ready .venv-training/ready
	$(BIN)/python -m training.render trained
	$(BIN)/python -m training.render added
	$(BIN)/python -m training.render calibration
	$(BIN)/python -m training.render added_calibration
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

IMAGE ?= fsd-sinet-beam:0.1.0

image: image-files
	docker build --tag $(IMAGE) --file deploy/Dockerfile build/image

image-gpu: image
	docker build --tag $(IMAGE)-gpu --build-arg IMAGE=$(IMAGE) deploy/gpu

image-files: .venv/ready
	rm -rf build/image build/lib build/bdist.*
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps \
	  --wheel-dir build/image .
	$(BIN)/python -m deploy.constraints > build/image/constraints.txt

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/yamllint --strict .yamllint.yaml configs deploy
	$(BIN)/hadolint deploy/Dockerfile deploy/gpu/Dockerfile

bench: .venv/ready .venv-bench/ready
	$(BIN)/python -m training.graphs.random_graphs full
	$(BIN)/python -m benchmarks.engine_speed --rounds 1
	$(BIN)/python -m benchmarks.engine_layers
	$(BIN)/python -m benchmarks.front_end_speed --rounds 3
	$(BIN)/python -m benchmarks.extract_speed --clips 40
	$(BIN)/python -m benchmarks.planning --rows 1000000
