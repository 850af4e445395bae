"""RunRecordings: computes long recordings in segments.

A worker reads a recording once and then computes its segments; if a job has few
recordings, other workers take segments, too. Each segment is committed by itself. The
worker that commits the last missing segment joins them.
"""

import contextlib
import dataclasses
import datetime
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

import apache_beam as beam
import numpy as np

from transforms.audio import TIMEOUT_S_PER_BYTE, unexpected_error
from transforms.decoding.excerpts import ExcerptReader
from transforms.decoding.reading import CLIP_TIMEOUT_S, LONGEST_S, open_audio
from transforms.elements import Clip, ClipError, Shard, ShardSummary
from transforms.engines.contract import ModelSpec
from transforms.engines.registered import EngineFactory
from transforms.inference import count_loads, load_engines, with_factories
from transforms.job_control.counters import count, timed
from transforms.job_control.deaths import given_up
from transforms.job_control.permit import Permit
from transforms.job_control.status import (
    add_done,
    add_part,
    add_reused,
    begin_part,
    report_clip,
)
from transforms.manifest import FILE_MODIFIED_COLUMN
from transforms.parquet import commit_shard
from transforms.recordings.kept_samples import KeptSamples
from transforms.recordings.measure import Recording, Segment, segment_patches_for
from transforms.recordings.reading import first_pass, open_parts, read_segment, size_of
from transforms.recordings.segments import compute_segment, finish
from transforms.recordings.unfinished import UnfinishedRecording
from transforms.schemas import DatasetSpec, part_name
from transforms.storage import StorageError, join, look_up


@dataclasses.dataclass(frozen=True)
class RecordingJob:
    """How recordings are computed and where they are committed.

    Attributes:
        output: Folder of the dataset.
        dataset: Models, outputs, patches and metadata of the files.
        permit: Set if workers may outlive the launcher.
        timeout_s: Time limit for reading, see `DecodeAudio`.
        longest_s: Duration above which clips are recordings.
        spread: Whether segments of one recording go to several workers. Better without
            if there are many recordings: then no worker waits for a first pass.
    """

    output: str
    dataset: DatasetSpec
    permit: Permit | None = None
    timeout_s: int = CLIP_TIMEOUT_S
    longest_s: int = LONGEST_S
    spread: bool = True

    def is_committed(self, shard: Shard) -> bool:
        """Whether a recording has its row in the ledger."""
        ledger = join(self.output, "ledger", part_name(shard.shard_id))
        return bool(look_up(ledger))


class Task(NamedTuple):
    """Segments of a recording for one worker.

    Attributes:
        shard: Shard with the recording alone, which may have failed.
        recording: Result of the first pass; None if the recording has failed.
        segments: Indices of the segments; empty if only joining is left.
    """

    shard: Shard
    recording: Recording | None
    segments: tuple[int, ...]


def recordings_of(shard: Shard) -> list[Shard]:
    """The long recordings of a shard, each as a shard alone."""
    return [shard.alone(i) for i, clip in enumerate(shard.clips) if clip.is_long]


def without_recordings(shard: Shard) -> list[Shard]:
    """The shard without its long recordings; nothing if it has no other clips."""
    long = {index for index, clip in enumerate(shard.clips) if clip.is_long}
    if len(long) == len(shard.clips):
        return []
    return [shard.without(long) if long else shard]


def measure_recording(shard: Shard, job: RecordingJob) -> Iterator[Task]:
    """Reads a recording once and yields its segments that have no results yet.

    An earlier run may have read it already.
    """
    clip = shard.clips[0]
    folder = UnfinishedRecording(job.output, shard.shard_id)
    try:
        recording = _measure(clip, _modified(shard), folder, job)
    except ClipError as error:
        yield Task(_failed(shard, error), None, ())
        return
    # This worker may wait long for other first passes.
    report_clip(None)
    done, kept = folder.done(), folder.kept()
    segments = recording.segments(job.dataset.patch_spec)
    left = [segment.index for segment in segments if segment.index not in done]
    count("segments_reused", len(segments) - len(left))
    add_reused(sum(_duration_s(s, job) for s in segments if s.index in done))
    spread = [i for i in left if job.spread and (recording.can_seek or i in kept)]
    for index in spread:
        yield Task(shard, recording, (index,))
    together = tuple(index for index in left if index not in spread)
    if together or not left:
        yield Task(shard, recording, together)


def _modified(shard: Shard) -> str | None:
    """When the file was modified, as text; None if the plan does not know."""
    assert shard.rows is not None
    time = shard.rows.column(FILE_MODIFIED_COLUMN)[0].as_py()
    return time and time.isoformat()


def _measure(
    clip: Clip, modified: str | None, folder: UnfinishedRecording, job: RecordingJob
) -> Recording:
    spec = job.dataset.patch_spec
    segment_patches = segment_patches_for(spec, job.longest_s / 2)
    with _opened(clip, job, "the first pass") as file:
        known = folder.read_recording()
        expected = (size_of(file), modified, segment_patches)
        if known and expected == (
            known.file_size,
            known.file_modified,
            known.segment_patches,
        ):
            return known
        folder.remove()
        kept = KeptSamples(folder, spec, segment_patches)
        with timed("first_pass"), _clip_errors(clip):
            recording = first_pass(clip, file, spec, segment_patches, kept.take)
            kept.finish(recording)
    recording = dataclasses.replace(recording, file_modified=modified)
    folder.write_recording(recording)
    count("recordings_measured")
    return recording


@contextlib.contextmanager
def _opened(clip: Clip, job: RecordingJob, part: str) -> Iterator[BinaryIO]:
    """Opens the file of a recording and notes the clip and its part as in hand.

    Raises:
        ClipError: if the file cannot be opened.
    """
    report_clip(clip.clip_id, job.timeout_s, part)
    with open_audio(clip) as file:
        limit_s = job.timeout_s + size_of(file) * TIMEOUT_S_PER_BYTE
        report_clip(clip.clip_id, limit_s, part)
        yield file


@contextlib.contextmanager
def _clip_errors(clip: Clip, part: str = "") -> Iterator[None]:
    """Raises errors of a clip with the part in hand, unforeseen ones as ClipError."""
    try:
        yield
    except StorageError:
        raise
    except ClipError as error:
        if not part:
            raise
        problem = f"{error} (in {part})"
        raise ClipError(error.stage, error.error_type, problem) from error
    except Exception as error:
        raise unexpected_error(clip.clip_id, error) from error


def run_task(
    task: Task, models: Sequence[tuple[ModelSpec, EngineFactory]], job: RecordingJob
) -> Iterator[ShardSummary]:
    """Computes segments of a recording; yields a summary if it is then committed.

    Args:
        task: What to compute.
        models: Models with the factories of their engines.
        job: Where the recording is committed.

    Raises:
        PermitError: if the job may no longer write.
    """
    if job.permit:
        job.permit.check()
    if job.is_committed(task.shard):
        # The runner does the task again, or another segment has failed.
        return
    shard, clip = task.shard, task.shard.clips[0]
    folder = UnfinishedRecording(job.output, shard.shard_id)
    try:
        if task.recording is None:
            yield _commit_failed(shard, folder, job)
            return
        _compute_segments(task, folder, models, job)
    except ClipError as error:
        yield _commit_failed(_failed(shard, error), folder, job)
        return
    report_clip(clip.clip_id, part="joining the segments")
    segments = task.recording.segments(job.dataset.patch_spec)
    if len(folder.done()) == len(segments):
        yield from _join(task.shard, task.recording, folder, job)
    report_clip(None)


def _join(
    shard: Shard, recording: Recording, folder: UnfinishedRecording, job: RecordingJob
) -> Iterator[ShardSummary]:
    """Commits a recording unless another worker does so at the same time."""
    output, dataset, permit = job.output, job.dataset, job.permit
    try:
        summary = finish(shard, recording, folder, output, dataset, permit)
    except StorageError:
        # The other worker has removed the folder.
        if not job.is_committed(shard):
            raise
        return
    add_done(False, num_patches=0, audio_s=0.0)
    yield summary


def _compute_segments(
    task: Task,
    folder: UnfinishedRecording,
    models: Sequence[tuple[ModelSpec, EngineFactory]],
    job: RecordingJob,
) -> None:
    """Computes and commits segments.

    Raises:
        ClipError: if a segment cannot be read; the message says which.
        PermitError: if the job may no longer write.
    """
    clip, recording = task.shard.clips[0], task.recording
    assert recording is not None
    engines = load_engines(models)
    count_loads(spec for spec, _ in models)
    segments = recording.segments(job.dataset.patch_spec)
    done = folder.done()
    with contextlib.ExitStack() as stack:
        reader: ExcerptReader | None = None
        for segment in (segments[index] for index in task.segments):
            if segment.index in done:
                continue
            part = _describe(segment, len(segments), job)
            _check_not_given_up(clip, job)
            begin_part(clip.clip_id, part, recording.info.duration_s)
            samples = folder.read_samples(segment.index)
            if samples is None:
                with _clip_errors(clip, part):
                    if reader is None:
                        file = stack.enter_context(_opened(clip, job, part))
                        reader = stack.enter_context(open_parts(clip, file, recording))
                    samples = read_segment(clip, recording, segment, reader)
            report_clip(clip.clip_id, part=part)
            predictions, is_silent = compute_segment(
                recording, segment, samples, job.dataset.patch_spec, engines
            )
            if job.permit:
                job.permit.check()
            folder.write_results(segment.index, predictions, is_silent)
            num_patches = segment.patches[1] - segment.patches[0]
            add_part(num_patches, _duration_s(segment, job))
            count("segments")


def _describe(segment: Segment, num_segments: int, job: RecordingJob) -> str:
    """The segment in words, for the message if a worker dies on it."""
    times = job.dataset.patch_spec.start_s(np.array(segment.patches))
    begin, end = (str(datetime.timedelta(seconds=round(s))) for s in times.tolist())
    return f"segment {segment.index + 1} of {num_segments} ({begin} to {end})"


def _duration_s(segment: Segment, job: RecordingJob) -> float:
    """Seconds from the start of a segment to the start of the next one."""
    begin, end = job.dataset.patch_spec.start_s(np.array(segment.patches)).tolist()
    return float(end - begin)


def _check_not_given_up(clip: Clip, job: RecordingJob) -> None:
    """Raises ClipError if workers died on the recording since the task was planned."""
    failure = given_up(job.permit.folder).get(clip.clip_id) if job.permit else None
    if failure:
        raise ClipError(failure.stage, failure.error_type, failure.message)


def _failed(shard: Shard, error: ClipError) -> Shard:
    return dataclasses.replace(shard, clips=(shard.clips[0].failed(error),))


def _commit_failed(
    shard: Shard, folder: UnfinishedRecording, job: RecordingJob
) -> ShardSummary:
    summary = commit_shard(shard, job.output, job.dataset, job.permit)
    folder.remove()
    add_done(True, num_patches=0, audio_s=0.0)
    return summary


@dataclasses.dataclass
class SplitRecordings(beam.PTransform):
    """Separates long recordings from the other clips of a shard.

    Input: Shard from DecodeAudio. Output: two PCollections, Shards without recordings,
    and recordings, each a Shard alone.
    """

    def expand(self, shards: beam.PCollection) -> tuple[beam.PCollection, ...]:
        split = {"Others": without_recordings, "Recordings": recordings_of}
        return tuple(
            shards | name >> beam.FlatMap(function).with_output_types(Shard)
            for name, function in split.items()
        )


@dataclasses.dataclass
class RunRecordings(beam.PTransform):
    """Computes and commits recordings.

    Input: Shard with one long recording. Output: ShardSummary for each that is
    committed. Counters: `recordings_measured`, `segments`, `segments_reused`,
    `first_pass_us`, those of RunModels but for Beam's, and those of CommitShard.
    """

    job: RecordingJob

    def expand(self, recordings: beam.PCollection) -> beam.PCollection:
        models = with_factories(self.job.dataset.models)
        tasks = recordings | "Measure" >> beam.FlatMap(measure_recording, self.job)
        if self.job.spread:
            tasks |= "SpreadSegments" >> beam.Reshuffle()
        return tasks | "ComputeSegments" >> beam.FlatMap(run_task, models, self.job)
