"""RunModels: runs every model on the patches of a shard, through Beam's RunInference.

The example that RunInference sees is a whole Shard: loading, sharing and metrics of
the models are Beam's, batching inside the shard is the engine's.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler, RunInference

from transforms.elements import Clip, Shard
from transforms.engines.agreement import require_agreement
from transforms.engines.contract import Engine, ModelSpec
from transforms.engines.table import ENGINES
from transforms.storage.uris import is_local
from transforms.workers.counters import METRICS_NAMESPACE, count, report_done, timed
from transforms.workers.status import report_clip


def run_models(shard: Shard, engines: Mapping[str, Engine]) -> Shard:
    """Replaces the patches of every clip by each model's prediction."""
    return dataclasses.replace(
        shard, clips=tuple(_run_clip(clip, engines) for clip in shard.clips)
    )


def _run_clip(clip: Clip, engines: Mapping[str, Engine]) -> Clip:
    if clip.failure is not None:
        report_done(clip.failure.error_type, num_patches=0, audio_s=0.0)
        return clip
    assert clip.patches is not None and clip.info is not None
    report_clip(clip.clip_id)
    with timed("inference"):
        predictions = {
            name: engine.run(clip.patches) for name, engine in engines.items()
        }
    report_done(None, num_patches=len(clip.patches), audio_s=clip.info.duration_s)
    return dataclasses.replace(clip, patches=None, predictions=predictions)


_PRELOADED: dict[ModelSpec, Engine] = {}


def preload(models: Sequence[ModelSpec]) -> None:
    """Loads models for the processes that are forked from this one.

    Not if the reference runs one of them: TensorFlow's threads do not outlive a fork.
    Nor if one is in a store: its connections would be shared, and a process would read
    what the store sends to another one.
    """
    if all(s.engine != "essentia" and is_local(s.graph_path) for s in models):
        _PRELOADED.update((spec, _load(spec)) for spec in models)


def _load(spec: ModelSpec) -> Engine:
    engine = ENGINES[spec.engine](spec)
    require_agreement(spec, engine)
    return engine


class LoadedModels(dict[str, Engine]):
    """Engines by model name. A class of its own because Beam keeps weak references.

    Attributes:
        counted: Whether loading them was, which only can be while a shard is in hand.
    """

    counted = False


class ShardModelHandler(ModelHandler[Shard, Shard, LoadedModels]):
    """Loads all models of a run into one worker process and runs them on shards."""

    def __init__(self, models: Sequence[ModelSpec]) -> None:
        super().__init__()
        self._models = tuple(models)

    def load_model(self) -> LoadedModels:
        return LoadedModels(
            (spec.name, _PRELOADED.get(spec) or _load(spec)) for spec in self._models
        )

    def run_inference(
        self,
        batch: Sequence[Shard],
        model: LoadedModels,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[Shard]:
        if not model.counted:
            model.counted = True
            for spec in self._models:
                count("model_loads")
                count(f"model_loads_{spec.engine}")
        return [run_models(shard, model) for shard in batch]

    def should_skip_batching(self) -> bool:
        """A shard is a batch already; Beam would hold it until the next one comes."""
        return True

    def get_num_bytes(self, batch: Sequence[Shard]) -> int:
        """Bytes of patches, for Beam's metrics (its default pickles the batch)."""
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

    Input: Shard with patches. Output: Shard with predictions. Counters: RunInference's
    own, `clips`, `clips_ok`, `clips_failed_<error_type>`, `patches`, `model_loads`,
    `model_loads_<engine>` and `inference_us`.
    """

    models: Sequence[ModelSpec]

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        handler = ShardModelHandler(self.models)
        # The identifier keeps one copy a process, whichever stage asks for it.
        identifier = "-".join(f"{spec.engine}-{spec.sha256}" for spec in self.models)
        batches = shards | "AsBatch" >> beam.Map(_as_batch)
        return batches | RunInference(handler, model_identifier=identifier)


def _as_batch(shard: Shard) -> list[Shard]:
    return [shard]
