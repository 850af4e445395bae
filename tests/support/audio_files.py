"""Writes audio files for tests: synthetic signals, written by real encoders.

Chunks in which recorders write the time are added to WAV files.
"""

import pathlib
import struct
from collections.abc import Sequence

import numpy as np

from training.synthesis.encode import encode

# file name -> encoder, sample rate in Hz, channels: files that the reference can read.
READABLE: dict[str, tuple[str, int, int]] = {
    "pcm16_8k.wav": ("pcm_s16le", 8000, 2),
    "pcm16_11k.wav": ("pcm_s16le", 11025, 1),
    "pcm16_16k.wav": ("pcm_s16le", 16000, 1),
    "pcm16_22k.wav": ("pcm_s16le", 22050, 2),
    "pcm16_44k.wav": ("pcm_s16le", 44100, 2),
    "pcm16_48k.wav": ("pcm_s16le", 48000, 2),
    "pcm16_96k.wav": ("pcm_s16le", 96000, 1),
    "pcm24_44k.wav": ("pcm_s24le", 44100, 2),
    "float_32k.wav": ("pcm_f32le", 32000, 1),
    "double_44k.wav": ("pcm_f64le", 44100, 1),
    "unsigned8.wav": ("pcm_u8", 22050, 1),
    "mulaw.wav": ("pcm_mulaw", 8000, 1),
    "big_endian.aiff": ("pcm_s16be", 44100, 2),
    "flac.flac": ("flac", 44100, 2),
    "alac.m4a": ("alac", 44100, 2),
    "wavpack.wv": ("wavpack", 44100, 2),
    "mp3_44k.mp3": ("libmp3lame", 44100, 2),
    "mp3_22k.mp3": ("libmp3lame", 22050, 1),
    "mp2.mp2": ("mp2", 44100, 2),
    "aac.m4a": ("aac", 44100, 2),
    "adts.aac": ("aac", 48000, 1),
    "vorbis.ogg": ("libvorbis", 44100, 2),
    "wma.wma": ("wmav2", 44100, 2),
    "ac3.ac3": ("ac3", 48000, 2),
}
# Encoders whose decoders round differently in the old FFmpeg of the reference.
NOT_BIT_EXACT = frozenset(["aac", "libvorbis", "wmav2", "ac3"])
# File names with characters that have a meaning in uris, patterns or shells.
ODD_NAMES = [
    "a b.wav",
    "100%.wav",
    "c%20d.wav",
    "e#1.wav",
    "q?x=1&y=2.wav",
    "café 猫.wav",
    "'q\".wav",
    "http:.wav",
    "[x] *.wav",
    "+~=;,@!.wav",
    "back\\slash.wav",
]
# The comment of an AudioMoth after the time.
BY_AUDIOMOTH = (
    " by AudioMoth 24F319055FDF2F5B at medium gain setting while battery state was "
    "4.2V and temperature was 21.3C."
)


def signal(
    num_samples: int, rate_hz: int, num_channels: int = 1, seed: int = 0
) -> np.ndarray:
    """A sweep and a decaying tone in noise, different in every channel."""
    rng = np.random.default_rng(seed)
    t = np.arange(num_samples) / rate_hz
    sweep = 0.3 * np.sin(2 * np.pi * (200 + 300 * t) * t)
    tone = 0.3 * np.sin(2 * np.pi * 660 * t) * np.exp(-t)
    noises = rng.standard_normal((num_channels, num_samples))
    tones = np.stack([sweep, tone])[np.arange(num_channels) % 2]
    return (tones + 0.04 * noises).astype(np.float32)


def make_readable(
    folder: pathlib.Path, name: str, seconds: float = 2.7
) -> pathlib.Path:
    """Writes a file of READABLE."""
    codec, rate_hz, num_channels = READABLE[name]
    samples = signal(round(seconds * rate_hz), rate_hz, num_channels)
    bit_rate = 128_000 if codec == "wmav2" else None
    return encode(folder / name, samples, rate_hz, codec, bit_rate)


def make_wav(
    path: pathlib.Path, num_samples: int, rate_hz: int = 22050, seed: int = 0
) -> pathlib.Path:
    """Writes a mono 16-bit WAV file."""
    return encode(path, signal(num_samples, rate_hz, seed=seed), rate_hz, "pcm_s16le")


def make_recordings(folder: pathlib.Path, seconds: float = 15.0) -> pathlib.Path:
    """Writes recordings of several formats, a short clip, and files with faults."""
    for name in ("pcm16_44k.wav", "flac.flac", "mp3_44k.mp3", "vorbis.ogg"):
        make_readable(folder, name, seconds)
    make_readable(folder, "pcm16_22k.wav", seconds=2)
    samples = signal(round(22050 * seconds), 22050)
    samples[:, -22050] = float("nan")
    encode(folder / "nan.wav", samples, 22050, "pcm_f32le")
    cut = make_readable(folder, "pcm16_48k.wav", seconds).rename(folder / "cut.wav")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 3 // 4])
    return folder


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a RIFF file."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def guano(timestamp: str) -> bytes:
    """The chunk of GUANO with a time stamp."""
    lines = ["GUANO|Version: 1.0", f"Timestamp: {timestamp}", "Make: Test", "TE: 1"]
    return chunk(b"guan", "\n".join(lines).encode())


def comment(text: str) -> bytes:
    """The chunk `LIST` as AudioMoth writes it, with filling up to 384 bytes."""
    items = chunk(b"ICMT", text.encode().ljust(384, b"\0"))
    items += chunk(b"IART", b"AudioMoth 24F319055FDF2F5B".ljust(32, b"\0"))
    return chunk(b"LIST", b"INFO" + items)


def audiomoth(time: str) -> bytes:
    """The chunk with the comment of an AudioMoth that has recorded at a time."""
    return comment(f"Recorded at {time}{BY_AUDIOMOTH}")


def add_chunks(
    path: pathlib.Path, before: Sequence[bytes] = (), after: Sequence[bytes] = ()
) -> pathlib.Path:
    """Adds chunks before and after the samples of a RIFF file."""
    data = path.read_bytes()
    at = data.index(b"data")
    size = struct.unpack("<I", data[at + 4 : at + 8])[0]
    end = at + 8 + size + size % 2
    samples = data[at : at + 8 + size].ljust(end - at, b"\0")
    body = data[8:at] + b"".join(before) + samples + b"".join(after)
    path.write_bytes(data[:4] + struct.pack("<I", len(body)) + body)
    return path
