"""A worker prepares its next shard while a device computes the one before."""

import pathlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam import coders
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, SlidingWindows, TimestampedValue

from pipeline.extract import ExtractJob, extract
from tests.support.audio_files import make_wav
from tests.support.device_engine import CoreEngine, DeviceEngine, await_event, shard_of
from transforms import features, inference, parquet
from transforms.decoding.reading import openers
from transforms.elements import Clip, Shard
from transforms.engines import device_thread
from transforms.engines.contract import Engine, ModelSpec
from transforms.engines.registered import ENGINES
from transforms.front_end.patches import PatchSpec
from transforms.inference import RunModels, ShardModelHandler, run_models, start_models
from transforms.job_control.counters import our_counters
from transforms.job_control.deaths import note_death_with_two_shards, note_timeout
from transforms.job_control.lanes import Lanes
from transforms.manifest import write_plan
from transforms.models.loading import load_model
from transforms.pending import StartedShard
from transforms.schemas import DatasetSpec

TINY = "tests/data/random-tiny-tlpf.pb"
NUM_CLIPS = 4


@pytest.fixture(params=[CoreEngine, DeviceEngine])
def kind(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> type[CoreEngine]:
    """A kind of engine, which is registered as `mine`."""
    return registered(request.param, monkeypatch)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> type[CoreEngine]:
    return registered(DeviceEngine, monkeypatch)


def registered(
    kind: type[CoreEngine], monkeypatch: pytest.MonkeyPatch
) -> type[CoreEngine]:
    monkeypatch.setitem(ENGINES, "mine", kind)
    monkeypatch.setattr(inference, "_LOADED", {})
    return kind


def model_spec() -> ModelSpec:
    spec = load_model(TINY)
    return ModelSpec(**{**vars(spec), "engine": "mine", "expected": None})


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the worker does, in order: `prepare ID` and `commit ID`."""
    done: list[str] = []
    originals: dict[str, Any] = {
        "prepare": (features, "compute_patches"),
        "commit": (parquet, "ledger_table"),
    }
    for name, (module, function) in originals.items():
        noted = _noting(name, getattr(module, function), done)
        monkeypatch.setattr(module, function, noted)
    yield done


def _noting(
    name: str, function: Callable[..., Any], done: list[str]
) -> Callable[..., Any]:
    def noted(element: Any, *arguments: Any) -> Any:
        clip = element.clips[0] if isinstance(element, Shard) else element
        done.append(f"{name} {clip.clip_id}")
        return function(element, *arguments)

    return noted


def run_job(folder: pathlib.Path, num_clips: int = NUM_CLIPS) -> dict[str, int]:
    """Runs the main job on shards of one clip, in one worker; returns the counters."""
    folder.mkdir(exist_ok=True)
    paths = [
        make_wav(folder / f"{i}.wav", 30_000 + i * 9_000) for i in range(num_clips)
    ]
    rows = pa.table(
        {"clip_id": [path.stem for path in paths], "uri": list(map(str, paths))}
    )
    plan = str(folder / "plan.arrow")
    write_plan([rows.slice(i, 1) for i in range(num_clips)], plan)
    spec = DatasetSpec((model_spec(),), ("activations", "embeddings"), PatchSpec(), {})
    job = ExtractJob(plan, str(folder / "out"), spec, Lanes(1, str(folder)))
    with TestPipeline(runner="FnApiRunner") as pipeline:
        extract(pipeline, job)
    return our_counters(pipeline.result)


def committed(folder: pathlib.Path) -> list[str]:
    parts = sorted((folder / "out" / "ledger").glob("*.parquet"))
    return sorted(pa.parquet.read_table(p)["clip_id"][0].as_py() for p in parts)


def values(folder: pathlib.Path) -> pa.Table:
    table = pa.parquet.read_table(folder / "out" / "patches")
    return table.sort_by([("clip_id", "ascending"), ("patch", "ascending")])


def test_a_shard_is_computed_only_once_the_next_one_is_begun(
    tmp_path: pathlib.Path,
    device: type[CoreEngine],
    steps: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = [threading.Event() for _ in range(NUM_CLIPS)]

    def noting_openers(clips: Sequence[Clip]) -> Any:
        begun[int(clips[0].clip_id)].set()
        return openers(clips)

    def await_next_shard(number: int) -> None:
        if number + 1 < NUM_CLIPS:
            await_event(begun[number + 1], f"shard {number + 1}")

    monkeypatch.setattr("transforms.audio.openers", noting_openers)
    monkeypatch.setattr(device, "before_call", staticmethod(await_next_shard))
    counters = run_job(tmp_path)
    assert committed(tmp_path) == ["0", "1", "2", "3"]
    assert counters["clips_ok"] == NUM_CLIPS and counters["inference_us"] > 0
    assert counters["num_inferences"] == counters["model_loads"] * NUM_CLIPS


def test_one_shard_is_held_back_only_while_a_device_computes_it(
    tmp_path: pathlib.Path, kind: type[CoreEngine], steps: list[str]
) -> None:
    run_job(tmp_path, 3)
    text = {
        False: "prepare 0, commit 0, prepare 1, commit 1, prepare 2, commit 2",
        True: "prepare 0, prepare 1, commit 0, prepare 2, commit 1, commit 2",
    }
    assert steps == text[kind.uses_device].split(", ")


def test_the_dataset_is_that_of_an_engine_that_computes_at_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for kind in (CoreEngine, DeviceEngine):
        registered(kind, monkeypatch)
        run_job(tmp_path / kind.__name__)
        found.append(values(tmp_path / kind.__name__))
    assert len(found[0]) == 14
    assert found[0].equals(found[1])


def test_a_single_shard_is_committed(
    tmp_path: pathlib.Path, device: type[CoreEngine], steps: list[str]
) -> None:
    run_job(tmp_path, 1)
    assert steps == ["prepare 0", "commit 0"]
    assert committed(tmp_path) == ["0"]


@pytest.mark.parametrize("failing", [0, 2, NUM_CLIPS - 1])
def test_a_device_that_fails_loses_no_shard(
    failing: int,
    tmp_path: pathlib.Path,
    device: type[CoreEngine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(number: int) -> None:
        if number == failing:
            raise RuntimeError("the device is lost")

    monkeypatch.setattr(device, "before_call", staticmethod(fail))
    with pytest.raises(RuntimeError, match="the device is lost .*RunModels/Hold"):
        run_job(tmp_path)
    assert committed(tmp_path) == [str(number) for number in range(failing)]
    monkeypatch.setattr(device, "before_call", staticmethod(lambda number: None))
    run_job(tmp_path)
    assert committed(tmp_path) == ["0", "1", "2", "3"]


def test_pending_shards_keep_their_windows(device: type[CoreEngine]) -> None:
    def size_of(shard: Shard) -> int:
        assert shard.clips[0].predictions is not None
        return len(shard.clips[0].predictions[model_spec().name].activations)

    sizes = (1, 2, 3, 4)
    for windows, expected in (
        (FixedWindows(2), [(0.0, [1]), (2.0, [2, 3]), (4.0, [4])]),
        (
            SlidingWindows(4, 2),
            [(-2.0, [1]), (0.0, [1, 2, 3]), (2.0, [2, 3, 4]), (4.0, [4])],
        ),
    ):
        with TestPipeline(runner="FnApiRunner") as pipeline:
            found = (
                pipeline
                | beam.Create(sizes)
                | beam.Map(lambda n: TimestampedValue(shard_of([n]), n))
                | beam.WindowInto(windows)
                | RunModels([model_spec()])
                | beam.Map(size_of)
                | beam.WithKeys(lambda size: None)
                | beam.GroupByKey()
                | beam.Map(_start_and_sizes)
            )
            assert_that(found, equal_to(expected))


def _start_and_sizes(
    group: tuple[None, Iterable[int]], window: Any = beam.DoFn.WindowParam
) -> tuple[float, list[int]]:
    return float(window.start), sorted(group[1])


def test_what_is_found_is_that_of_run_models() -> None:
    shard = shard_of([2, None, 1, None, 3])
    expected = run_models(shard, {"a": CoreEngine()})
    pending = start_models(shard, {"a": DeviceEngine()})
    coder = coders.registry.get_coder(StartedShard)
    copied = coder.decode(coder.encode(pending))
    assert pending.is_pending and not copied.is_pending
    for found in (pending.result(), pending.result(), copied.result()):
        assert found.shard_id == shard.shard_id
        for one, other in zip(found.clips, expected.clips, strict=True):
            assert one.failure == other.failure and one.patches is None
            if other.predictions is not None:
                assert one.predictions is not None
                np.testing.assert_array_equal(
                    one.predictions["a"].activations, other.predictions["a"].activations
                )


def is_held_back(
    engines: dict[str, Engine], folder: pathlib.Path | None = None
) -> bool:
    """Whether RunInference passes on a shard before the engines are done."""
    handler = ShardModelHandler([model_spec()], None if folder is None else str(folder))
    loaded = inference.LoadedModels(engines)
    (shard,) = handler.run_inference([shard_of([2])], loaded)
    return shard.is_pending


def test_only_shards_of_devices_are_held_back(device: type[CoreEngine]) -> None:
    on_device, on_core = DeviceEngine(), CoreEngine()
    assert is_held_back({"a": on_device})
    assert not is_held_back({"a": on_core})
    # The other engine needs the core on which the next shard would be prepared.
    assert not is_held_back({"a": on_device, "b": on_core})


def test_after_a_death_a_worker_has_one_shard_at_a_time(
    device: type[CoreEngine], tmp_path: pathlib.Path
) -> None:
    engine = DeviceEngine()
    assert is_held_back({"a": engine}, tmp_path)
    note_timeout(str(tmp_path), "slow", 9.0)
    assert is_held_back({"a": engine}, tmp_path)
    note_death_with_two_shards(str(tmp_path), "ended by SIGKILL")
    assert not is_held_back({"a": engine}, tmp_path)


def test_a_device_is_used_by_one_thread() -> None:
    engine = DeviceEngine()
    pending = start_models(shard_of([2]), {"a": engine})
    patches = shard_of([1]).clips[0].patches
    assert patches is not None
    device_thread.run_in_turn({"a": engine}, patches)
    pending.result()
    assert len(set(engine.threads)) == 1 and len(engine.threads) == 2
    assert threading.current_thread().name not in engine.threads
