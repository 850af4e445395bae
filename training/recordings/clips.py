"""Joins short recordings of a group to clips, with pauses between them."""

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
from transforms.decoding.ffmpeg import decode_file
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.resampling.whole import resample

Random = np.random.Generator

_SHORTEST_S, _LONGEST_S = 0.1, 6.0


def render_recordings(source: Recordings, length_s: float, rng: Random) -> np.ndarray:
    """Renders a clip of recordings with pauses, each recording at its own speed.

    Args:
        source: Group (of GROUPS or ADDED_GROUPS) and speeds.
        length_s: Length of the clip.
        rng: Random generator that decides recordings, speeds and pauses.

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
    """Number of recordings of a group that are long enough."""
    return len(_read_group(source.group))


def _excerpt(sound: np.ndarray, rng: Random) -> np.ndarray:
    """A long recording from a random position on; a short recording as a whole."""
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
    """Names that match the patterns.

    A pattern adds the names that it matches. A pattern that begins with "!" removes
    names that earlier patterns added.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        if pattern.startswith("!"):
            out = set(fnmatch.filter(found, pattern[1:]))
            found = {name: None for name in found if name not in out}
        else:
            found |= dict.fromkeys(fnmatch.filter(names, pattern))
    return list(found)


def _at_full_scale(samples: np.ndarray) -> np.ndarray:
    """Scales a recording to a peak of 1 and cuts off silence at its start and end."""
    peak = np.abs(samples).max(initial=0)
    if peak == 0:
        return samples[:0]
    heard = np.flatnonzero(np.abs(samples) > 1e-4 * peak)
    return samples[heard[0] : heard[-1] + 1] * np.float32(1 / peak)


def read_audio(path: pathlib.Path, data: bytes | None = None) -> np.ndarray:
    """Decodes a file like the pipeline: float32 [num_samples] at 22,050 Hz.

    Args:
        path: Path of the file, or only its name if `data` is given.
        data: Content of the file; read from `path` if None.
    """
    content = path.read_bytes() if data is None else data
    audio = decode_file(path.name, io.BytesIO(content))
    return resample(audio.samples, audio.sample_rate_hz)
