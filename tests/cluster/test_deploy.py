"""Files in deploy/ fit this project, each other and the programs that read them."""

import pathlib
import re
import zipfile
from typing import Any

import jsonschema
import pytest
import yaml

import pipeline.runners.workers.boot
from deploy.constraints import constraints
from deploy.flink.local_flink import FLINK
from tests.cluster.flink_jobs import require_flink, running_flink
from tests.conftest import ROOT
from transforms.essentia_import import TENSORFLOW_ENVIRONMENT

DEPLOY = ROOT / "deploy"
SCHEMA = "META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml"
Spec = dict[str, Any]


def read_spec() -> Spec:
    document = yaml.safe_load((DEPLOY / "flink" / "kubernetes.yaml").read_text())
    kind = document["apiVersion"], document["kind"]
    assert kind == ("flink.apache.org/v1beta1", "FlinkDeployment")
    spec: Spec = document["spec"]
    return spec


def operator_schema() -> Spec:
    """The schema of the operator for the spec of a FlinkDeployment."""
    [jar] = FLINK.parent.glob("flink-kubernetes-operator-api-*.jar")
    with zipfile.ZipFile(jar) as archive:
        definition = yaml.load(archive.read(SCHEMA), yaml.CSafeLoader)
    [version] = definition["spec"]["versions"]
    schema: Spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def strict(schema: Any) -> Any:
    """A schema that refuses unlisted keys, which Kubernetes would ignore."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        made["additionalProperties"] = False
    return made


def test_image_has_the_beam_and_python_that_are_tested() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    found = re.search(r"^FROM apache/beam_python(.*)_sdk:(.*)$", text, re.MULTILINE)
    assert found
    assert f"apache-beam=={found[2]}" in constraints()
    setup = (ROOT / "setup.py").read_text()
    assert f'python_requires=">={found[1]}"' in setup


def test_image_for_gpus_adds_the_pytorch_that_is_tested() -> None:
    text = (DEPLOY / "gpu" / "Dockerfile").read_text()
    (wanted,) = re.findall(r'pip install .*"(torch[^"]*)"', text)
    assert f'"torch": ["{wanted}"]' in (ROOT / "setup.py").read_text()
    makefile = (ROOT / "Makefile").read_text()
    (image,) = re.findall(r"^ARG IMAGE=(\S+)$", text, re.MULTILINE)
    assert f"IMAGE ?= {image}\n" in makefile


def test_image_sets_the_environment_of_workers() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    pairs = dict(re.findall(r"^(?:ENV)? +([A-Z_]+)=(\S+)", text, re.MULTILINE))
    expected = {**TENSORFLOW_ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    assert expected.items() <= pairs.items()


def test_constraints_are_exact_and_leave_out_packages_for_development() -> None:
    lines = constraints()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    names = {line.partition("==")[0] for line in lines}
    assert {"essentia-tensorflow", "numpy", "pyarrow"} <= names
    assert not {"pytest", "mypy", "protobuf"} & names


def test_pool_beside_a_task_manager_is_started_as_documented() -> None:
    template = read_spec()["taskManager"]["podTemplate"]
    flink, workers = template["spec"]["containers"]
    assert flink == {"name": "flink-main-container"}
    assert " ".join(workers["command"]) in (pipeline.runners.workers.boot.__doc__ or "")


@pytest.mark.flink
def test_manifest_fits_the_schema_of_the_operator() -> None:
    require_flink()
    jsonschema.validate(read_spec(), strict(operator_schema()))


@pytest.mark.flink
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("flinkVersion", "v1_9"),
        ("flinkConfiguration.heartbeat", 5),
        ("taskManager.replica", 4),
        ("taskManager.podTemplate.spec.containers.1.resources.limit", {"cpu": "1"}),
        ("taskManager.podTemplate.spec.containers.1.envFrom.0.secret", "keys"),
    ],
)
def test_schema_finds_mistakes(path: str, value: object) -> None:
    require_flink()
    spec = read_spec()
    *parents, last = path.split(".")
    place: Any = spec
    for name in parents:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, strict(operator_schema()))


@pytest.mark.flink
def test_flink_starts_with_the_settings_of_the_manifest(tmp_path: pathlib.Path) -> None:
    settings = read_spec()["flinkConfiguration"]
    with running_flink(tmp_path, 1, settings) as flink:
        entries = flink.get("/jobmanager/config")
    known = {entry["key"]: entry["value"] for entry in entries}
    assert settings.items() <= known.items()
