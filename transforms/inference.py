"""RunModels: runs every model on the patches of a shard, through Beam's RunInference.

The example that RunInference sees is a whole Shard. Beam loads and shares the models
and measures them; the engine makes batches inside the shard.
"""

import dataclasses
import importlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import ModelHandler, RunInference

from transforms.elements import Clip, Prediction, Shard
from transforms.engines.contract import Engine, ModelSpec, patches_at_once
from transforms.engines.registered import EngineFactory, engine_factory, load_engine
from transforms.job_control.counters import METRICS_NAMESPACE, count, timed
from transforms.job_control.status import add_done, report_clip
from transforms.storage.uris import is_local


def run_models(shard: Shard, engines: Mapping[str, Engine]) -> Shard:
    """Replaces the patches of every clip by the prediction of each model.

    Engines get one clip at a time, or several if they ask for many patches.
    """
    size = max(map(patches_at_once, engines.values()))
    clips = list(shard.clips)
    for indices in _groups(clips, size):
        for index, clip in zip(
            indices, _run_group([clips[i] for i in indices], engines), strict=True
        ):
            clips[index] = clip
    return dataclasses.replace(shard, clips=tuple(clips))


def _groups(clips: Sequence[Clip], num_patches: int) -> Iterator[list[int]]:
    """Indices of consecutive clips that have this many patches or are the last.

    Clips that failed are counted as done, and are in no group.
    """
    group, size = list[int](), 0
    for index, clip in enumerate(clips):
        if clip.failure is not None:
            add_done(True, num_patches=0, audio_s=0.0)
            continue
        assert clip.patches is not None
        group.append(index)
        size += len(clip.patches)
        if size >= num_patches:
            yield group
            group, size = [], 0
    if group:
        yield group


def _run_group(clips: list[Clip], engines: Mapping[str, Engine]) -> Iterator[Clip]:
    """Runs models on all patches of some clips together."""
    # If the worker dies, several clips cannot be blamed.
    report_clip(clips[0].clip_id if len(clips) == 1 else None)
    patches = [clip.patches for clip in clips if clip.patches is not None]
    # One clip is not copied: its patches overlap, and take little memory.
    joined = patches[0] if len(patches) == 1 else np.concatenate(patches)
    with timed("inference"):
        found = {name: engine.run(joined) for name, engine in engines.items()}
    start = 0
    for clip, part in zip(clips, patches, strict=True):
        rows = slice(start, start + len(part))
        predictions = {
            name: Prediction(each.activations[rows], each.embeddings[rows])
            for name, each in found.items()
        }
        assert clip.info is not None
        add_done(False, num_patches=len(part), audio_s=clip.info.duration_s)
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


class ShardModelHandler(ModelHandler[Shard, Shard, LoadedModels]):
    """Loads all models of a run into one worker process and runs them on shards.

    The handler carries the factories of the engines, because workers do not know the
    engines that a program registered.
    """

    def __init__(self, models: Sequence[ModelSpec]) -> None:
        super().__init__()
        self._models = with_factories(models)

    def load_model(self) -> LoadedModels:
        return LoadedModels(load_engines(self._models))

    def run_inference(
        self,
        batch: Sequence[Shard],
        model: LoadedModels,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[Shard]:
        count_loads(spec for spec, _ in self._models)
        return [run_models(shard, model) for shard in batch]

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
    RunInference, `model_loads`, `model_loads_<engine>` and `inference_us`.

    Raises:
        ValueError: if there is no model, two have one name, or an engine is unknown.
    """

    models: Sequence[ModelSpec]

    def __post_init__(self) -> None:
        check_models(self.models)

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        handler = ShardModelHandler(self.models)
        # With an identifier, Beam keeps one copy in a process for all stages.
        identifier = "-".join(
            f"{spec.engine_text}-{spec.sha256}" for spec in self.models
        )
        batches = shards | "AsBatch" >> beam.Map(_as_batch)
        return batches | RunInference(handler, model_identifier=identifier)


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
