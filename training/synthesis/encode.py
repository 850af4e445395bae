"""Writes audio files with real encoders, for the demo clips, training and tests.

All encoders but one come from PyAV. Vorbis comes from libvorbis in soundfile, because
FFmpeg 2.8 (which Essentia uses) decodes the files of FFmpeg's own Vorbis encoder
differently from later versions.
"""

import fractions
import pathlib
from typing import Any

import av
import numpy as np
import soundfile


def encode(
    path: pathlib.Path,
    samples: np.ndarray,
    sample_rate_hz: int,
    codec: str,
    bit_rate: int | None = None,
) -> pathlib.Path:
    """Encodes samples to a file, whose extension decides the container.

    Args:
        path: File to write.
        samples: [num_channels, num_samples] from -1 to 1.
        sample_rate_hz: Sample rate of the samples and of the file.
        codec: FFmpeg's name of the encoder, or libvorbis.
        bit_rate: Bits per second; None for the encoder's default.

    Returns:
        The path.
    """
    if codec == "libvorbis":
        soundfile.write(path, samples.T, sample_rate_hz, format="OGG", subtype="VORBIS")
        return path
    layout = {1: "mono", 2: "stereo", 4: "quad", 6: "5.1"}[len(samples)]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=sample_rate_hz)
        stream.layout = layout
        context = stream.codec_context
        if bit_rate:
            context.bit_rate = bit_rate
        context.open()
        data = np.ascontiguousarray(samples, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(data, format="fltp", layout=layout)
        frame.sample_rate = sample_rate_hz
        frame.pts, frame.time_base = 0, fractions.Fraction(1, sample_rate_hz)
        resampler = av.AudioResampler(
            format=context.format.name,
            layout=layout,
            rate=sample_rate_hz,
            frame_size=context.frame_size or None,
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path
