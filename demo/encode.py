"""Writes audio files with real encoders (PyAV): for the demo clips and for tests."""

import pathlib
from typing import Any

import av
import numpy as np


def encode(
    path: pathlib.Path,
    samples: np.ndarray,
    sample_rate_hz: int,
    codec: str,
    bit_rate: int | None = None,
) -> pathlib.Path:
    """Encodes samples; the container follows from the file's extension.

    Args:
        path: File to write.
        samples: [num_channels, num_samples], -1 to 1.
        sample_rate_hz: Of the samples and of the file.
        codec: FFmpeg's name of the encoder.
        bit_rate: In bits a second; the encoder's default if None.
    """
    layout = {1: "mono", 2: "stereo", 4: "quad", 6: "5.1"}[len(samples)]
    # FFmpeg calls its own Vorbis encoder experimental.
    options = {"strict": "experimental"} if codec == "vorbis" else {}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=sample_rate_hz, options=options)
        stream.layout = layout
        context = stream.codec_context
        if bit_rate:
            context.bit_rate = bit_rate
        context.open()
        data = np.ascontiguousarray(samples, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(data, format="fltp", layout=layout)
        frame.sample_rate = sample_rate_hz
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
