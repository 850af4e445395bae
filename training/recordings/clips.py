"""Strings short recordings of a group together to clips, with pauses."""

import fnmatch
import functools
import io
import pathlib
from collections.abc import Sequence

import numpy as np

from training.recipes.sources import Recordings
from training.recordings.added_groups import ADDED_GROUPS
from training.recordings.archives import list_sounds
from training.recordings.groups import GROUPS
from transforms.decoding.ffmpeg import SAMPLE_RATE_HZ, decode_file
from transforms.decoding.resampling import resample

Random = np.random.Generator

_SHORTEST_S, _LONGEST_S = 0.1, 6.0


def render_recordings(source: Recordings, length_s: float, rng: Random) -> np.ndarray:
    """Recordings of a group, with pauses, each at a speed of its own.

    Args:
        source: One of GROUPS or ADDED_GROUPS, and the speeds.
        length_s: Of the clip.
        rng: Decides which recordings, speeds and pauses.

    Returns:
        float32 [length_s * 22050], full scale at 1.
    """
    sounds = _read_group(source.group)
    result = np.zeros(round(length_s * SAMPLE_RATE_HZ), np.float32)
    position = int(rng.uniform(0, 0.5) * SAMPLE_RATE_HZ)
    sound = sounds[int(rng.integers(len(sounds)))]
    while position < len(result) - SAMPLE_RATE_HZ // 2:
        if rng.random() < 0.3:
            sound = sounds[int(rng.integers(len(sounds)))]
        rate = round(SAMPLE_RATE_HZ * rng.uniform(*source.speeds))
        piece = resample(_excerpt(sound, rng), rate)[: len(result) - position]
        result[position : position + len(piece)] += piece * rng.uniform(0.4, 1)
        position += len(piece) + int(rng.uniform(0.05, 1.2) * SAMPLE_RATE_HZ)
    return result


def num_sounds(source: Recordings) -> int:
    """How many recordings a group has that are long enough."""
    return len(_read_group(source.group))


def _excerpt(sound: np.ndarray, rng: Random) -> np.ndarray:
    """A long recording from anywhere on, a short one from its start."""
    spare = len(sound) - round(_LONGEST_S * SAMPLE_RATE_HZ)
    return sound[int(rng.integers(spare)) :] if spare > 0 else sound


@functools.cache
def _read_group(group: str) -> tuple[np.ndarray, ...]:
    sounds = []
    for archive, patterns in (GROUPS | ADDED_GROUPS)[group].items():
        contents = list_sounds(archive)
        names = matching(list(contents), patterns)
        if not names:
            raise FileNotFoundError(f"no {patterns} in {archive.path}")
        sounds += [read_audio(pathlib.Path(n), contents[n]()) for n in names]
    return tuple(
        scaled
        for scaled in map(_at_full_scale, sounds)
        if len(scaled) >= _SHORTEST_S * SAMPLE_RATE_HZ
    )


def matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Names that match a pattern and none of those after it that begin with "!"."""
    found: dict[str, None] = {}
    for pattern in patterns:
        if pattern.startswith("!"):
            out = set(fnmatch.filter(found, pattern[1:]))
            found = {name: None for name in found if name not in out}
        else:
            found |= dict.fromkeys(fnmatch.filter(names, pattern))
    return list(found)


def _at_full_scale(samples: np.ndarray) -> np.ndarray:
    """Recordings of different makers at one level, without digital silence around."""
    peak = np.abs(samples).max(initial=0)
    if peak == 0:
        return samples[:0]
    heard = np.flatnonzero(np.abs(samples) > 1e-4 * peak)
    return samples[heard[0] : heard[-1] + 1] * np.float32(1 / peak)


def read_audio(path: pathlib.Path, data: bytes | None = None) -> np.ndarray:
    """Decodes a file as the pipeline does: float32 [num_samples] at 22,050 Hz."""
    content = path.read_bytes() if data is None else data
    audio = decode_file(path.name, io.BytesIO(content))
    return resample(audio.samples, audio.sample_rate_hz)
