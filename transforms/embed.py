"""EmbedAudio: uris of audio files in, activations and embeddings out."""

from collections.abc import Sequence

import apache_beam as beam

from transforms.audio import DecodeAudio
from transforms.elements import Clip, EmbedResult, Shard
from transforms.engines.contract import DEFAULT_PRECISION, ModelSpec
from transforms.engines.registered import DEFAULT_ENGINE, check_engine_options
from transforms.features import ComputePatches
from transforms.front_end.patches import DEFAULT_PATCHES, PatchSpec
from transforms.inference import RunModels
from transforms.models.engine_choice import choose_engines
from transforms.models.loading import load_models
from transforms.storage import absolute
from transforms.tagger import labelled


def open_uri(uri: str) -> Shard:
    """A shard with one clip, for a path or a uri."""
    return Shard(uri, (Clip(uri, absolute(uri)),))


def embed_results(
    shard: Shard, models: Sequence[ModelSpec], patches: PatchSpec
) -> list[EmbedResult]:
    """The predictions of every clip of a shard, or its failure."""
    return [
        EmbedResult(
            clip.clip_id,
            clip.info,
            {
                spec.name: labelled(
                    clip.predictions[spec.name], spec, patches, clip.flags
                )
                for spec in models
                if clip.predictions
            },
            clip.failure,
        )
        for clip in shard.clips
    ]


class EmbedAudio(beam.PTransform):
    """Runs models on audio files.

    Input: paths or uris, str. Output: EmbedResult, one for every uri. Failures: kept in
    the result. The numbers are those of `fsdsinet extract`.

    Args:
        models: Names of models, or paths of graphs (.pb) that all workers can read.
        engine: Name of the engine that runs the graphs.
        patches: How patches are cut.
        precision: Format in which the engine computes, one of PRECISIONS.

    Raises:
        ValueError: if there is no model, no engine has that name, or it does not
            compute in that precision.
        ModelError: when the pipeline is built, if a model cannot be used.
    """

    def __init__(
        self,
        models: Sequence[str],
        engine: str = DEFAULT_ENGINE,
        patches: PatchSpec = DEFAULT_PATCHES,
        precision: str = DEFAULT_PRECISION,
    ) -> None:
        super().__init__()
        if isinstance(models, str) or not models:
            raise ValueError(f"models is {models!r}, expected a list of names or paths")
        check_engine_options(engine, precision)
        self._models = tuple(models)
        self._engine, self._precision = engine, precision
        self._patches = patches

    def expand(self, uris: beam.PCollection) -> beam.PCollection:
        models = choose_engines(
            load_models(list(self._models)), self._engine, precision=self._precision
        )
        return (
            uris
            | "OpenUri" >> beam.Map(open_uri).with_output_types(Shard)
            | DecodeAudio()
            | ComputePatches(self._patches)
            | RunModels(models)
            | "Results"
            >> beam.FlatMap(embed_results, models, self._patches).with_output_types(
                EmbedResult
            )
        )
