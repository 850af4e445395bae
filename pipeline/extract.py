"""The main job: reads like the diagram in the README."""

import dataclasses

import apache_beam as beam

from transforms import (
    CommitShard,
    ComputePatches,
    DatasetSpec,
    DecodeAudio,
    Lanes,
    ReadManifest,
    RunModels,
)


@dataclasses.dataclass(frozen=True)
class ExtractJob:
    """All that the main job needs, wherever it runs.

    Attributes:
        plan_path: The planned shards, see `transforms.manifest`.
        output: Folder of the dataset.
        dataset: Models, outputs, patches and what the files say of themselves.
        lanes: Set where all workers are on one machine.
    """

    plan_path: str
    output: str
    dataset: DatasetSpec
    lanes: Lanes | None = None


def extract(pipeline: beam.Pipeline, job: ExtractJob) -> beam.PCollection:
    """Wires the main job. Output: a ShardSummary for every committed shard."""
    return (
        pipeline
        | "Plan" >> beam.Create([job.plan_path])
        | ReadManifest(job.lanes)
        | DecodeAudio()
        | ComputePatches(job.dataset.patch_spec)
        | RunModels(job.dataset.models)
        | CommitShard(job.output, job.dataset)
    )
