"""The precision of an engine: which exist, and that it is part of a dataset."""

import dataclasses
import pathlib

import pytest

from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.launch.identity import check_same_identity, dataset_spec, identity
from transforms import Tagger
from transforms.engines.contract import PRECISIONS
from transforms.models.loading import load_model
from transforms.schemas import patches_schema

OPTIONS = {"inputs": ("a.wav",), "models": ("m",), "output": "out"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"precision": "bfloat16"}, "engine winograd computes in float32"),
        ({"engine": "essentia", "precision": "tf32"}, "give --engine torch"),
        ({"engine": "torch", "precision": "float16"}, "did you mean"),
        ({"engine": "toch"}, "did you mean torch"),
    ],
)
def test_what_does_not_exist_is_refused(flags: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, [], OPTIONS | flags)


def test_torch_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'fsd-sinet-beam\[torch\]'"):
        load_config(None, [], OPTIONS | {"engine": "torch"})
    with pytest.raises(ValueError, match="needs PyTorch"):
        Tagger("fsd-sinet-vgg41-tlpf-demo", engine="torch")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_precision_is_part_of_the_identity(
    precision: str, tiny_model: pathlib.Path
) -> None:
    config = load_config(None, [], OPTIONS)
    model = dataclasses.replace(load_model(str(tiny_model)), engine="torch")
    before = identity(dataset_spec(config, (model,), ()))
    other = dataclasses.replace(model, precision=precision)
    spec = dataset_spec(config, (other,), ())
    metadata = patches_schema(spec, other).metadata
    assert metadata[b"engine"] == other.engine_text.encode()
    if precision == "float32":
        check_same_identity(before, identity(spec))
        # As datasets have it that were written before there were precisions.
        assert identity(spec)["engines"] == {model.name: "torch"}
        return
    with pytest.raises(ConfigError, match=f"was torch, is torch {precision}"):
        check_same_identity(before, identity(spec))
    with pytest.raises(ConfigError, match=f"was torch {precision}, is torch"):
        check_same_identity(identity(spec), before)
