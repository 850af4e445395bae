"""RunModels: runs every model on the patches of a shard, through Beam's RunInference.

The example that RunInference sees is a whole Shard. Beam loads and shares the models
and measures them; the engine makes batches inside the shard. Engines of a device only
start here, and HoldShards waits for them: the worker prepares the next shard meanwhile.
"""

import dataclasses
import importlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import ModelHandler, RunInference

from transforms.elements import Clip, FloatArray, Prediction, Shard
from transforms.engines.contract import Engine, ModelSpec, patches_at_once
from transforms.engines.device_thread import (
    compute_elsewhere,
    run_engines,
    run_in_turn,
    start_in_thread,
)
from transforms.engines.registered import EngineFactory, engine_factory, load_engine
from transforms.job_control.counters import METRICS_NAMESPACE, count
from transforms.job_control.deaths import count_deaths
from transforms.job_control.status import add_done, report_clip, report_device
from transforms.pending import HoldShards, StartedShard
from transforms.storage.uris import is_local


class _Found(NamedTuple):
    """What was found in a group of clips.

    Attributes:
        predictions: Predictions of the patches of all clips, by name of the model.
        time_us: Time that the engines took, in microseconds.
    """

    predictions: dict[str, Prediction]
    time_us: int


def run_models(shard: Shard, engines: Mapping[str, Engine]) -> Shard:
    """Replaces the patches of every clip by the prediction of each model.

    Engines get one clip at a time, or several if they ask for many patches.
    """
    groups = _groups(shard.clips, engines)
    found = (_run_reported(group, engines) for group in groups)
    return _with_predictions(shard, groups, found)


def start_models(shard: Shard, engines: Mapping[str, Engine]) -> StartedShard:
    """Starts what `run_models` does in the thread of the device.

    The outcome is counted and reported when it is asked for: Beam counts only in the
    thread that processes an element, and the status of a worker has one writer.
    """
    groups = _groups(shard.clips, engines)
    report_device(True)
    future = start_in_thread(
        lambda: [_run_group(group, engines, run_engines) for group in groups]
    )

    def finish() -> Shard:
        report_clip(None)
        return _with_predictions(shard, groups, future.result())

    return StartedShard(finish, is_pending=True)


def _started_and_done(shard: Shard, engines: Mapping[str, Engine]) -> StartedShard:
    done = run_models(shard, engines)
    return StartedShard(lambda: done, is_pending=False)


def _groups(clips: Sequence[Clip], engines: Mapping[str, Engine]) -> list[list[Clip]]:
    """Consecutive clips that have as many patches as engines want, or are the last.

    Clips that failed are in no group.
    """
    num_patches = max(map(patches_at_once, engines.values()))
    groups, group, size = list[list[Clip]](), list[Clip](), 0
    for clip in clips:
        if clip.failure is not None:
            continue
        assert clip.patches is not None
        group.append(clip)
        size += len(clip.patches)
        if size >= num_patches:
            groups.append(group)
            group, size = [], 0
    return [*groups, group] if group else groups


def _run_reported(group: list[Clip], engines: Mapping[str, Engine]) -> _Found:
    # If the worker dies, several clips cannot be blamed.
    report_clip(group[0].clip_id if len(group) == 1 else None)
    return _run_group(group, engines, run_in_turn)


def _run_group(
    group: list[Clip],
    engines: Mapping[str, Engine],
    run: Callable[[Mapping[str, Engine], FloatArray], dict[str, Prediction]],
) -> _Found:
    """Runs models on all patches of some clips together."""
    patches = [clip.patches for clip in group if clip.patches is not None]
    # One clip is not copied: its patches overlap, and take little memory.
    joined = patches[0] if len(patches) == 1 else np.concatenate(patches)
    start = time.perf_counter_ns()
    predictions = run(engines, joined)
    return _Found(predictions, (time.perf_counter_ns() - start) // 1000)


def _with_predictions(
    shard: Shard, groups: list[list[Clip]], found: Iterable[_Found]
) -> Shard:
    """Gives the clips of a shard what was found, which is counted group by group."""
    predicted = (
        clip
        for group, each in zip(groups, found, strict=True)
        for clip in _split(group, each)
    )
    clips = []
    for clip in shard.clips:
        if clip.failure is not None:
            add_done(True, num_patches=0, audio_s=0.0)
        clips.append(clip if clip.failure is not None else next(predicted))
    return dataclasses.replace(shard, clips=tuple(clips))


def _split(group: list[Clip], found: _Found) -> Iterator[Clip]:
    """The clips of a group, each with its own predictions."""
    count("inference_us", found.time_us)
    start = 0
    for clip in group:
        assert clip.info is not None and clip.patches is not None
        rows = slice(start, start + len(clip.patches))
        predictions = {
            name: Prediction(each.activations[rows], each.embeddings[rows])
            for name, each in found.predictions.items()
        }
        add_done(False, num_patches=len(clip.patches), audio_s=clip.info.duration_s)
        yield dataclasses.replace(clip, patches=None, predictions=predictions)
        start = rows.stop


_LOADED: dict[ModelSpec, Engine] = {}
_LOADING = threading.Lock()
_COUNTED: set[ModelSpec] = set()


def preload(models: Sequence[ModelSpec]) -> None:
    """Loads models for the processes that will be forked from this process.

    Loads nothing if another engine than `winograd` runs a model: the threads of
    TensorFlow and what PyTorch holds of a device do not survive a fork. Loads nothing
    if a graph is in a bucket or on the web: forked processes would share its
    connection, and one process would read the bytes that were sent for another.
    """
    if any(spec.engine == "torch" for spec in models):
        # Importing starts no thread and opens no device, but takes two seconds.
        importlib.import_module("transforms.engines.torch.engine")
    if all(s.engine == "winograd" and is_local(s.graph_path) for s in models):
        load_engines([(spec, engine_factory(spec.engine)) for spec in models])


def load_engines(
    models: Sequence[tuple[ModelSpec, EngineFactory]],
) -> dict[str, Engine]:
    """Engines by name of the model; a process loads each model once."""
    with _LOADING:
        for spec, factory in models:
            if spec not in _LOADED:
                _LOADED[spec] = load_engine(spec, factory)
        return {spec.name: _LOADED[spec] for spec, _ in models}


def count_loads(models: Iterable[ModelSpec]) -> None:
    """Counts each model once a process, whichever step runs it first.

    Beam accepts counts only while an element is processed, and loads models before.
    """
    for spec in models:
        with _LOADING:
            is_new = spec not in _COUNTED
            _COUNTED.add(spec)
        if is_new:
            count("model_loads")
            count(f"model_loads_{spec.engine}")


def with_factories(
    models: Sequence[ModelSpec],
) -> tuple[tuple[ModelSpec, EngineFactory], ...]:
    """Models with the factories of their engines, for workers, which know no others."""
    return tuple((spec, engine_factory(spec.engine)) for spec in models)


class LoadedModels(dict[str, Engine]):
    """Engines by model name. A plain dict does not allow Beam's weak references."""


class ShardModelHandler(ModelHandler[Shard, StartedShard, LoadedModels]):
    """Loads all models of a run into one worker process and runs them on shards.

    The handler carries the factories of the engines, because workers do not know the
    engines that a program registered.
    """

    def __init__(
        self, models: Sequence[ModelSpec], job_folder: str | None = None
    ) -> None:
        super().__init__()
        self._models = with_factories(models)
        self._job_folder = job_folder

    def load_model(self) -> LoadedModels:
        return LoadedModels(load_engines(self._models))

    def run_inference(
        self,
        batch: Sequence[Shard],
        model: LoadedModels,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[StartedShard]:
        count_loads(spec for spec, _ in self._models)
        start = start_models if self._prepares_ahead(model) else _started_and_done
        return [start(shard, model) for shard in batch]

    def _prepares_ahead(self, engines: LoadedModels) -> bool:
        """Whether the next shard is prepared while a device computes this one.

        Once a worker of the job died, there is one shard at a time: two may need too
        much memory, and only a worker with one shard can tell which clip to blame.
        """
        if not compute_elsewhere(engines):
            return False
        return self._job_folder is None or not count_deaths(self._job_folder)

    def should_skip_batching(self) -> bool:
        """Tells Beam that a shard is a batch. Beam would wait for a second shard."""
        return True

    def get_num_bytes(self, batch: Sequence[Shard]) -> int:
        """Bytes of patches for Beam's metrics; Beam's default pickles the batch."""
        return sum(
            clip.patches.nbytes
            for shard in batch
            for clip in shard.clips
            if clip.patches is not None
        )

    def get_metrics_namespace(self) -> str:
        return METRICS_NAMESPACE


@dataclasses.dataclass
class RunModels(beam.PTransform):
    """Runs models on shards.

    Input: Shard with patches. Output: Shard with predictions. Counters: those of
    RunInference (whose latency is that of the start, if a device computes),
    `model_loads`, `model_loads_<engine>` and `inference_us`.

    Attributes:
        models: Models with their engines.
        job_folder: Folder of the job with notes of workers that died; None if nobody
            notes them.

    Raises:
        ValueError: if there is no model, two have one name, or an engine is unknown.
    """

    models: Sequence[ModelSpec]
    job_folder: str | None = None

    def __post_init__(self) -> None:
        check_models(self.models)

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        handler = ShardModelHandler(self.models, self.job_folder)
        # With an identifier, Beam keeps one copy in a process for all stages.
        identifier = "-".join(
            f"{spec.engine_text}-{spec.sha256}" for spec in self.models
        )
        batches = shards | "AsBatch" >> beam.Map(_as_batch)
        started = batches | RunInference(handler, model_identifier=identifier)
        return started | HoldShards()


def check_models(models: Sequence[ModelSpec]) -> None:
    """Raises ValueError unless these models can be run together."""
    names = [spec.name for spec in models]
    if not names:
        raise ValueError("got no models, expected at least one")
    if len(set(names)) != len(names):
        raise ValueError(f"got models {', '.join(names)}, expected different names")
    for spec in models:
        engine_factory(spec.engine)


def _as_batch(shard: Shard) -> list[Shard]:
    return [shard]
