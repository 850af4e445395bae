"""ComputePatches: turns the waveforms of a shard into patches for the models."""

import dataclasses

import apache_beam as beam

from transforms.elements import Clip, Shard
from transforms.front_end.patches import (
    PATCH_FRAMES,
    PatchSpec,
    cut_patches,
    log_mel,
    normalise,
)
from transforms.job_control.counters import timed
from transforms.job_control.status import report_clip


def compute_patches(clip: Clip, spec: PatchSpec) -> Clip:
    """Replaces the waveform of a clip by its patches and adds flags.

    Flags: `short` below one whole patch, `silent` if every frame is silent.
    """
    assert clip.waveform is not None
    report_clip(clip.clip_id)
    with timed("log_mel"):
        mel, num_silent = log_mel(normalise(clip.waveform))
        patches = cut_patches(mel, spec)
    found = {"short": len(mel) < PATCH_FRAMES, "silent": num_silent == len(mel)}
    flags = (*clip.flags, *(name for name, is_set in found.items() if is_set))
    return dataclasses.replace(clip, waveform=None, patches=patches, flags=flags)


def compute_shard_patches(shard: Shard, spec: PatchSpec) -> Shard:
    """Computes the patches of every clip of a shard that has a waveform."""
    clips = (
        clip if clip.failure else compute_patches(clip, spec) for clip in shard.clips
    )
    return dataclasses.replace(shard, clips=tuple(clips))


@dataclasses.dataclass
class ComputePatches(beam.PTransform):
    """Computes log-mel patches.

    Input: Shard with waveforms. Output: Shard with patches. Failures: none of its own.
    """

    spec: PatchSpec

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        return shards | "LogMel" >> beam.Map(
            compute_shard_patches, self.spec
        ).with_output_types(Shard)
