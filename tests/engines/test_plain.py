"""The layers in NumPy, and what happens where Essentia has no TensorFlow."""

import pathlib

import numpy as np
import pytest

from tests.support.predictions import (
    POOLINGS,
    assert_close,
    random_model,
    write_model,
)
from training.graphs.sinet_graph import Pooling
from transforms import essentia_import
from transforms.elements import Prediction
from transforms.engines import agreement
from transforms.engines.agreement import check_patches, reference
from transforms.engines.essentia import EssentiaEngine
from transforms.engines.network import read_network_of
from transforms.engines.plain import compute
from transforms.errors import EngineError
from transforms.models import check_engine as check_module
from transforms.models import engine_choice
from transforms.models.engine_choice import choose_engines
from transforms.models.loading import load_model


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("width", [0.125, 1])
def test_agrees_for_all_variants(
    pooling: Pooling, width: float, tmp_path: pathlib.Path
) -> None:
    spec = random_model(tmp_path, width, pooling)
    patches = check_patches()[::3]
    actual = compute(read_network_of(spec), patches)
    assert_close(actual, EssentiaEngine(spec).run(patches))


def test_no_patches(tiny_model: pathlib.Path) -> None:
    spec = load_model(str(tiny_model))
    found = compute(read_network_of(spec), np.empty((0, 101, 96), np.float32))
    assert found.activations.shape == (0, 200)
    assert found.embeddings.shape == (0, spec.embedding_size)


@pytest.fixture
def no_tensorflow(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process believes that package `essentia` is installed.

    It differs from essentia-tensorflow in the algorithms that run graphs, which are
    not called here.
    """
    monkeypatch.setenv("FSDSINET_CACHE", str(tmp_path / "cache"))
    for module in (essentia_import, agreement, engine_choice):
        monkeypatch.setattr(module, "has_tensorflow", lambda: False)
    # The check runs in this process.
    monkeypatch.setattr(engine_choice, "_run_check", check_module.check_engine)


def test_engines_are_compared_with_numpy(
    no_tensorflow: None, tiny_model: pathlib.Path
) -> None:
    spec = load_model(str(tiny_model))
    (chosen,) = choose_engines([spec], "winograd")
    assert chosen.engine == "winograd" and isinstance(chosen.expected, Prediction)
    np.testing.assert_array_equal(
        chosen.expected.activations,
        compute(read_network_of(spec), check_patches()).activations,
    )
    # The numbers are not those of Essentia, which are near.
    theirs = EssentiaEngine(spec).run(check_patches())
    assert not np.array_equal(chosen.expected.activations, theirs.activations)
    assert_close(reference(spec), theirs)


def test_the_reference_engine_says_what_it_needs(
    no_tensorflow: None, tiny_model: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(EngineError, match="install `essentia-tensorflow` instead$"):
        choose_engines([load_model(str(tiny_model))], "essentia")
    strange = tmp_path / "strange.pb"
    write_model(strange, 1.0, "Sigmoid")
    with pytest.raises(EngineError, match=r"\(winograd cannot: .* expected BiasAdd"):
        choose_engines([load_model(str(strange))], "winograd")


def test_this_environment_has_tensorflow() -> None:
    assert essentia_import.has_tensorflow()
