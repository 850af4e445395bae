"""The torch engine on the CPU: exact, and the same for any batch and neighbour."""

import dataclasses
import pathlib
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import BUNDLED_MODELS
from tests.support.predictions import POOLINGS, assert_close, random_model
from training.graphs.sinet_graph import Pooling
from transforms.elements import FloatArray
from transforms.engines.agreement import check_patches, differences, reference
from transforms.engines.contract import TOLERANCES, ModelSpec, uses_device
from transforms.engines.device_thread import start_in_thread
from transforms.engines.network import UnknownLayerError
from transforms.models.engine_choice import choose_engines
from transforms.models.loading import load_model

torch = pytest.importorskip("torch", reason="make torch installs PyTorch")
from transforms.engines.torch import engine as module  # noqa: E402
from transforms.engines.torch.engine import DeviceError, TorchEngine  # noqa: E402

pytestmark = pytest.mark.torch


def spec_of(name: str | pathlib.Path, precision: str = "float32") -> ModelSpec:
    spec = load_model(str(name))
    return dataclasses.replace(spec, engine="torch", precision=precision)


@pytest.fixture(params=POOLINGS)
def graph(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> pathlib.Path:
    random_model(tmp_path, 0.25, request.param)
    return tmp_path / "model.pb"


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("width", [0.125, 1, 2])
def test_agrees_for_all_variants(
    pooling: Pooling, width: float, tmp_path: pathlib.Path
) -> None:
    spec = dataclasses.replace(random_model(tmp_path, width, pooling), engine="torch")
    assert_close(TorchEngine(spec).run(check_patches()), reference(spec))


@pytest.mark.parametrize("name", BUNDLED_MODELS)
def test_agrees_for_the_bundled_models(name: str) -> None:
    spec = spec_of(name)
    assert_close(TorchEngine(spec).run(check_patches()), reference(spec))


@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
def test_other_precisions_are_within_their_tolerances(
    graph: pathlib.Path, precision: str
) -> None:
    spec = spec_of(graph, precision)
    found = TorchEngine(spec).run(check_patches())
    assert max(differences(found, reference(spec))) <= TOLERANCES[precision]
    exact = TorchEngine(spec_of(graph)).run(check_patches())
    # A CPU has no TF32.
    is_same = np.array_equal(found.activations, exact.activations)
    assert is_same == (precision == "tf32")


@settings(max_examples=15)
@given(rows=st.lists(st.integers(0, 19), min_size=1, max_size=40))
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["tlpf", "aps", "tlpf_aps"])
def test_a_result_depends_on_its_patch_only(
    name: str, precision: str, rows: list[int]
) -> None:
    engine = TorchEngine(spec_of(f"tests/data/random-tiny-{name}.pb", precision))
    whole = engine.run(check_patches())
    part = engine.run(check_patches()[rows])
    np.testing.assert_array_equal(part.activations, whole.activations[rows])
    np.testing.assert_array_equal(part.embeddings, whole.embeddings[rows])


def test_no_patches_and_patches_of_another_shape(tiny_model: pathlib.Path) -> None:
    spec = spec_of(tiny_model)
    engine = TorchEngine(spec)
    found = engine.run(np.empty((0, 101, 96), np.float32))
    assert found.activations.shape == (0, 200)
    assert found.embeddings.shape == (0, spec.embedding_size)
    with pytest.raises(ValueError, match=r"got patches of shape \(96, 101\)"):
        engine.run(np.zeros((1, 96, 101), np.float32))


def test_the_thread_of_a_device_computes_the_same(
    tiny_model: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TorchEngine(spec_of(tiny_model))
    # This machine's device is the core on which the worker prepares its next shard.
    assert not uses_device(engine)
    expected = engine.run(check_patches())
    found = start_in_thread(engine.run, check_patches()).result()
    np.testing.assert_array_equal(found.activations, expected.activations)
    np.testing.assert_array_equal(found.embeddings, expected.embeddings)
    assert start_in_thread(torch.get_num_threads).result() == 1
    monkeypatch.setattr(engine, "_device", torch.device("cuda", 0))
    assert uses_device(engine)


def test_another_graph_is_refused(tmp_path: pathlib.Path) -> None:
    spec = dataclasses.replace(spec_of("tests/data/random-tiny-aps.pb"))
    with pytest.raises(UnknownLayerError, match="expected the embeddings node"):
        TorchEngine(dataclasses.replace(spec, embeddings_node="dense"))


class Device:
    """Stands for a device that fails, which this machine does not have.

    Attributes:
        largest: Number of patches for which it has memory.
        error: Raised for every batch; None if there is none.
    """

    def __init__(self, engine: TorchEngine) -> None:
        self._module: Any = engine._module
        self.largest = 1_000
        self.error: Exception | None = None

    def __call__(self, patches: Any) -> Any:
        if self.error:
            raise self.error
        if len(patches) > self.largest:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
        return self._module(patches)


@pytest.fixture
def engine(tiny_model: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> TorchEngine:
    monkeypatch.setitem(module._BATCH, "cpu", 32)
    return TorchEngine(spec_of(tiny_model))


def patches_of(count: int) -> FloatArray:
    return np.resize(check_patches(), (count, 101, 96))


def test_with_little_memory_the_batch_gets_smaller(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = engine.run(patches_of(100))
    device = Device(engine)
    device.largest = 10
    monkeypatch.setattr(engine, "_module", device)
    with pytest.warns(UserWarning, match="goes on with batches of") as warned:
        found = engine.run(patches_of(100))
    assert [str(w.message).split(" patches")[0][-2:] for w in warned] == ["16", " 8"]
    assert_close(found, expected)
    assert engine.run_patches == 32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.run(patches_of(9))


def test_with_too_little_memory_the_message_says_what_to_do(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(engine)
    device.largest = 1
    monkeypatch.setattr(engine, "_module", device)
    with (
        pytest.warns(UserWarning),
        pytest.raises(DeviceError, match="for 8 patches .* give fewer --workers"),
    ):
        engine.run(patches_of(20))


def test_a_lost_device_says_that_nothing_is_lost(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Device(engine)
    device.error = torch.AcceleratorError("CUDA error: device lost\nmore lines")
    monkeypatch.setattr(engine, "_module", device)
    with pytest.raises(DeviceError, match=r"\(CUDA error: device lost\).*same command"):
        engine.run(patches_of(20))


def test_the_check_that_guards_winograd_guards_torch(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSDSINET_CACHE", str(tmp_path))
    spec = load_model("tests/data/random-tiny-aps.pb")
    (chosen,) = choose_engines([spec], "torch", precision="bfloat16")
    assert (chosen.engine, chosen.precision) == ("torch", "bfloat16")
    assert chosen.expected is not None
    monkeypatch.setitem(TOLERANCES, "bfloat16", 1e-6)
    monkeypatch.setattr("transforms.models.engine_choice._run_check", run_check)
    spec = load_model("tests/data/random-tiny-tlpf.pb")
    with pytest.warns(UserWarning, match="activations differ from the reference by"):
        (chosen,) = choose_engines([spec], "torch", precision="bfloat16")
    assert (chosen.engine, chosen.precision) == ("essentia", "float32")


def run_check(spec: ModelSpec) -> object:
    """The check in this process, which has other tolerances."""
    from transforms.models.check_engine import check_engine

    return check_engine(spec)


def test_a_device_that_cannot_hold_the_model(
    tiny_model: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(module: Any, device: Any = None, **_: Any) -> Any:
        if device is not None:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")
        return module

    monkeypatch.setattr(torch.nn.Module, "to", refuse)
    with pytest.raises(DeviceError, match=r"\(CUDA out of memory.\).*fewer --workers"):
        TorchEngine(spec_of(tiny_model))
