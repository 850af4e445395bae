"""The main job. Reads like the diagram in docs/architecture.md."""

import dataclasses

import apache_beam as beam

from transforms.audio import DecodeAudio
from transforms.decoding.reading import CLIP_TIMEOUT_S, LONGEST_S
from transforms.engines.contract import ModelSpec
from transforms.features import ComputePatches
from transforms.inference import RunModels
from transforms.job_control.lanes import Lanes
from transforms.job_control.permit import AdmitShards, Permit
from transforms.manifest import ReadManifest
from transforms.parquet import CommitShard
from transforms.recorded_at.choose import TimeSettings
from transforms.recordings.steps import RecordingJob, RunRecordings, SplitRecordings
from transforms.schemas import DatasetSpec


@dataclasses.dataclass(frozen=True)
class ExtractJob:
    """Everything that the main job needs, wherever it runs.

    Attributes:
        plan_path: Path of the plan file (see `transforms.manifest`).
        output: Folder of the dataset.
        dataset: Models, outputs, patches and metadata of the files.
        lanes: Set if workers take shards as they become free.
        permit: Set if workers may outlive the launcher.
        job_folder: Folder with notes of workers that died; None if nobody notes them.
        clip_timeout_s: Time limit for reading and decoding a clip, without the part for
            its size (see `DecodeAudio`).
        longest_s: Duration above which a clip is computed in segments.
        spread: Whether several workers compute segments of one recording.
        times: How the start of a recording is found.
    """

    plan_path: str
    output: str
    dataset: DatasetSpec
    lanes: Lanes | None = None
    permit: Permit | None = None
    job_folder: str | None = None
    clip_timeout_s: int = CLIP_TIMEOUT_S
    longest_s: int = LONGEST_S
    spread: bool = True
    times: TimeSettings = TimeSettings()

    @property
    def recordings(self) -> RecordingJob:
        """The part of the job that computes long recordings."""
        return RecordingJob(
            output=self.output,
            dataset=self.dataset,
            permit=self.permit,
            timeout_s=self.clip_timeout_s,
            longest_s=self.longest_s,
            spread=self.spread,
        )

    def on_cluster(self, permit: Permit, models: tuple[ModelSpec, ...]) -> "ExtractJob":
        """This job with a permit, and with models that every worker can read."""
        dataset = dataclasses.replace(self.dataset, models=models)
        return dataclasses.replace(
            self, dataset=dataset, permit=permit, job_folder=permit.folder
        )


def extract(pipeline: beam.Pipeline, job: ExtractJob) -> beam.PCollection:
    """Connects the steps. Output: a ShardSummary for every committed shard."""
    plan = pipeline | "Plan" >> beam.Create([job.plan_path])
    shards = plan | ReadManifest(job.lanes)
    if job.permit:
        shards |= AdmitShards(job.output, job.permit)
    decoded = shards | DecodeAudio(job.clip_timeout_s, job.longest_s, job.times)
    others, recordings = decoded | SplitRecordings()
    clips = (
        others
        | ComputePatches(job.dataset.patch_spec)
        | RunModels(job.dataset.models, job.job_folder)
        | CommitShard(job.output, job.dataset, job.permit)
    )
    long = recordings | RunRecordings(job.recordings)
    return (clips, long) | beam.Flatten()
