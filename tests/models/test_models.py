"""Graphs and metadata are checked when a model is loaded."""

import json
import pathlib
import re
import shutil
from typing import Any

import numpy as np
import pytest

from tests.conftest import DATA
from training.graphs import graph_writer as attr
from training.graphs.graph_writer import GraphWriter
from transforms.errors import UserError
from transforms.models.loading import load_model, load_models
from transforms.models.registry import published_labels


@pytest.fixture
def model(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of a valid model, for tests to change."""
    for suffix in (".pb", ".json"):
        shutil.copy(DATA / f"random-tiny-tlpf{suffix}", tmp_path / f"model{suffix}")
    return tmp_path / "model.pb"


def change_metadata(model: pathlib.Path, **changes: Any) -> None:
    path = model.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_names_sizes_and_labels_come_from_graph_and_metadata(
    model: pathlib.Path,
) -> None:
    spec = load_model(str(model))
    assert spec.name == "model"
    assert spec.labels == published_labels()
    assert spec.embedding_size == 32
    assert spec.activations_node == "model/predictions/Sigmoid"


def test_without_metadata_the_published_layout_is_the_default(
    model: pathlib.Path,
) -> None:
    model.with_suffix(".json").unlink()
    assert load_model(str(model)).labels == published_labels()


def test_published_metadata_with_swapped_axes_is_accepted(model: pathlib.Path) -> None:
    schema = {
        "inputs": [{"name": "x", "type": "float", "shape": ["batch", 96, 101, 1]}]
    }
    change_metadata(model, schema=schema)
    assert load_model(str(model)).input_node == "x"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["a", "b"]}, "200 activations, but .* lists 2 classes"),
        ({"classes": None}, "not in Essentia's format"),
        ({"classes": 5}, "not in Essentia's format"),
        ({"schema": {"inputs": [{"name": "x", "shape": None}]}}, "Essentia's format"),
        ({"classes": ["a"] * 200}, "not 200 different names"),
        ({"schema": {"inputs": [{"name": "melspec"}]}}, "no node 'melspec'.*'x'"),
        ({"schema": {"inputs": [{"name": "x", "shape": [1, 64, 96, 1]}]}}, "64, 96, 1"),
        (
            {"schema": {"outputs": [{"name": "y"}]}},
            "not in Essentia's format.*'output_purpose'",
        ),
        (
            {
                "schema": {
                    "outputs": [
                        {
                            "name": "model/global_max_pooling1d/Max",
                            "output_purpose": "embeddings",
                            "shape": ["batch", 512],
                        }
                    ]
                }
            },
            "states 512 values .* the graph gives 32",
        ),
    ],
)
def test_metadata_that_contradicts_the_graph_is_refused(
    model: pathlib.Path, changes: dict[str, Any], message: str
) -> None:
    change_metadata(model, **changes)
    with pytest.raises(UserError, match=message):
        load_model(str(model))


def test_metadata_that_is_not_json_is_refused(model: pathlib.Path) -> None:
    model.with_suffix(".json").write_text("{")
    with pytest.raises(UserError, match="cannot read model metadata"):
        load_model(str(model))


@pytest.mark.parametrize(
    ("shape", "message"),
    [([-1, 128, 96, 1], "128, 96, 1"), ([1, 101, 96, 1], "1, 101, 96, 1")],
)
def test_graph_with_another_input_is_refused(
    tmp_path: pathlib.Path, shape: list[int], message: str
) -> None:
    writer = GraphWriter()
    writer.node("Placeholder", "x", (), shape=attr.shape(shape))
    writer.node("Max", "model/global_max_pooling1d/Max", ["x"])
    writer.constant("kernel", np.zeros((4, 200)))
    writer.node("MatMul", "dense", ["model/global_max_pooling1d/Max", "kernel"])
    writer.node("Sigmoid", "model/predictions/Sigmoid", ["dense"])
    path = tmp_path / "other.pb"
    path.write_bytes(writer.to_bytes())
    with pytest.raises(UserError, match=message):
        load_model(str(path))


def test_graph_of_another_network_is_refused(tmp_path: pathlib.Path) -> None:
    writer = GraphWriter()
    writer.node("Placeholder", "serving_default", ())
    writer.node("Softmax", "probabilities", ["serving_default"])
    path = tmp_path / "other.pb"
    path.write_bytes(writer.to_bytes())
    with pytest.raises(UserError, match="serving_default.*probabilities"):
        load_model(str(path))


def test_file_that_is_no_graph_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "page.pb"
    path.write_text("<html>404</html>")
    with pytest.raises(UserError, match="not a TensorFlow GraphDef"):
        load_model(str(path))


def test_missing_models_say_where_to_get_them(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSDSINET_MODELS", str(tmp_path))
    with pytest.raises(
        UserError, match="expected the path of a .pb file or one of fsd"
    ):
        load_model("no-such-model")
    with pytest.raises(
        UserError, match="run .fsdsinet models fetch fsd.* downloads http"
    ):
        load_model("fsd-sinet-vgg41-tlpf-1")


def test_a_published_name_with_another_file_is_refused(
    model: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSDSINET_MODELS", str(model.parent))
    model.rename(model.with_name("fsd-sinet-vgg41-tlpf-1.pb"))
    with pytest.raises(UserError, match="is not the model fsd.*: its git blob sha1 is"):
        load_model("fsd-sinet-vgg41-tlpf-1")


WORDS_OF_DATES = (
    *("may", "March", "sept", "jan 2024", "jan-2024", "dec10", "5 may", "may 1st"),
    *("may 5 10:00 Z", "sat10", "Sunday, 5", "m3", "t10", "at 5", "of-may", ",may"),
    *("1 day", "-2 days", "10 minutes", "7ms", "P1D", "-P1D", "PT5M", "P1", "h.5"),
)
UNUSUAL = (
    *("v1", "2024-01-31-vgg", "7 layers", ".a", "_a", "a b", "näme", "a,b", "a#1"),
    *("sun", "monday", "march-net", "maybe", "may v1", "may_5", "dec-vgg41", "s1"),
    *("P", "PD", "PANN-14", "p1d", "h1", "a.1", "day", "mst5", "at-net-5", "q1"),
    *("infinite", "nano", "model-5", "fsd-sinet-vgg41-tlpf", "mymodel"),
)


def test_fastparquet_mistakes_words_of_dates_only() -> None:
    reader = pytest.importorskip("fastparquet.util")
    read_as_text = [
        name
        for name in (*WORDS_OF_DATES, *UNUSUAL)
        if isinstance(reader.val_to_num(name), str)
    ]
    assert read_as_text == [*UNUSUAL]


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("007", "model-007"),
        ("1e5", "model-1e5"),
        ("-5", "model--5"),
        ("0x1F", "model-0x1F"),
        ("1.2.3", "model-1.2.3"),
        ("2024-01-31", "model-2024-01-31"),
        ("2024-01-31T10:00:00Z", "model-2024-01-31T10:00:00Z"),
        ("True", "model-True"),
        ("inf", "model-inf"),
        ("-inf", "model--inf"),
        *((name, f"model-{name}") for name in WORDS_OF_DATES),
        ("__HIVE_DEFAULT_PARTITION__", "model-HIVE_DEFAULT_PARTITION"),
        ("a=b", "a-b"),
        ("a%20b", "a-20b"),
        ("a*b", "a-b"),
        ("a[1]", "a-1-"),
        ("a\\b", "a-b"),
        ("1=2", "model-1-2"),
    ],
)
def test_names_that_readers_mistake_are_refused_with_a_suggestion(
    model: pathlib.Path, name: str, suggested: str
) -> None:
    path = model.rename(model.with_name(f"{name}.pb"))
    with pytest.raises(UserError, match=f"example to {re.escape(suggested)}.pb and"):
        load_models([str(path)])
    load_models([str(path.rename(path.with_name(f"{suggested}.pb")))])


@pytest.mark.parametrize("name", UNUSUAL)
def test_other_unusual_names_are_accepted(model: pathlib.Path, name: str) -> None:
    path = model.rename(model.with_name(f"{name}.pb"))
    (spec,) = load_models([str(path)])
    assert spec.name == name


def test_two_models_of_one_name_are_refused(model: pathlib.Path) -> None:
    with pytest.raises(UserError, match="two models are named 'model'"):
        load_models([str(model), str(model)])
