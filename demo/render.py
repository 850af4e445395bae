"""Renders the demo clips: sounds made by formula, a public-domain soundfont, speech.

Usage: python -m demo.render

The rendered clips are in the repository. This script is only needed to change them. It
needs the Debian packages espeak-ng, flite, fluidsynth and csound-soundfont.

This script makes all clips, so they are free to use (CC0): sounds by formula, phrases
played with csound's sf_GMbank (public domain), and sentences read by espeak-ng and
flite. The demo models were not trained on this soundfont and on flite's voice awb.
"""

import csv
import io
import pathlib
import subprocess
import tempfile
from collections.abc import Callable

import av
import numpy as np
import soundfile

from training.recipes.rendered import RECIPES
from training.recipes.sources import DrumKit, Effects, Instrument
from training.synthesis.encode import encode
from training.synthesis.soundfonts import HELD_OUT_FONTS, render_phrases
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ

FOLDER = pathlib.Path(__file__).resolve().parent / "clips"
Sound = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def sweep(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * (100 * t + 500 * t**2))


def noise(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 0.2 * rng.standard_normal(len(t))


def bell(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The partials of a church bell, from hum to nominal and above."""
    partials = (0.5, 1, 1.2, 1.5, 2, 2.7, 3.0, 4.1)
    tones = [np.sin(2 * np.pi * 440 * p * t) * np.exp(-t * (1 + p)) for p in partials]
    return 0.15 * np.sum(tones, axis=0)


def strikes(times: np.ndarray, sound: Sound) -> Sound:
    """A sound that is repeated at the given times."""

    def repeated(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        result = np.zeros_like(t)
        for start in times:
            after = t >= start
            result[after] += sound(t[after] - start, rng)
        return result

    return repeated


def kick(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (
        0.8 * np.sin(2 * np.pi * (50 * t + 8 * (1 - np.exp(-20 * t)))) * np.exp(-9 * t)
    )


def snare(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 0.3 * rng.standard_normal(len(t)) * np.exp(-18 * t)


def drums(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    beats = np.arange(0, 4, 0.5)
    low, high = strikes(beats[::2], kick), strikes(beats[1::2], snare)
    return low(t, rng) + high(t, rng)


def pluck(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    tones = [np.sin(2 * np.pi * 220 * k * t) * np.exp(-k * t) / k for k in range(1, 9)]
    return 0.4 * np.sum(tones, axis=0)


def chirp(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    wobble = 2 * np.pi * (4000 * t + 60 * np.sin(2 * np.pi * 14 * t))
    return 0.4 * np.sin(wobble) * np.exp(-(((t - 0.15) / 0.07) ** 2))


def siren(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return 0.4 * np.sin(2 * np.pi * 900 * t + 300 * np.sin(2 * np.pi * 0.5 * t))


def dial(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    on = (t % 0.4) < 0.25
    return 0.3 * on * (np.sin(2 * np.pi * 770 * t) + np.sin(2 * np.pi * 1336 * t))


def engine(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pulses = np.sin(2 * np.pi * 28 * t) ** 8
    return pulses * (
        0.4 * np.sin(2 * np.pi * 85 * t) + 0.1 * rng.standard_normal(len(t))
    )


def organ(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    chord = [261.6, 329.6, 392.0]
    tones = [np.sin(2 * np.pi * f * k * t) / k for f in chord for k in (1, 2, 4, 8)]
    return 0.12 * np.sum(tones, axis=0)


def silence(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.zeros_like(t)


def hammer(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strokes that are too loud and so are clipped at full scale."""
    return np.clip(4 * strikes(np.arange(0, 3, 0.6), kick)(t, rng), -1, 1)


# File, sound, seconds, sample rate, channels, encoder, bit rate, description.
CLIPS: tuple[tuple[str, Sound, float, int, int, str, int | None, str], ...] = (
    ("sweep.flac", sweep, 3, 48000, 1, "flac", None, "rising sine sweep"),
    ("noise.ogg", noise, 3, 44100, 2, "libvorbis", None, "white noise"),
    ("bell.opus", bell, 5, 48000, 2, "libopus", 64000, "one bell"),
    ("drums.m4a", drums, 4, 44100, 2, "aac", 96000, "kick and snare"),
    ("pluck.flac", pluck, 3, 32000, 1, "flac", None, "a plucked string"),
    (
        "chirps.wav",
        strikes(np.arange(0, 3, 0.5), chirp),
        3,
        44100,
        1,
        "pcm_s16le",
        None,
        "chirps like a bird's",
    ),
    ("siren.wav", siren, 4, 16000, 1, "pcm_s16le", None, "siren"),
    ("dial.wav", dial, 3, 8000, 1, "pcm_mulaw", None, "telephone dial tones"),
    ("engine.ogg", engine, 4, 22050, 2, "libvorbis", None, "pulses like an engine's"),
    ("organ.mp3", organ, 4, 48000, 2, "libmp3lame", 96000, "organ chord"),
    ("hammer.mp3", hammer, 3, 44100, 1, "libmp3lame", 64000, "overdriven thumps"),
    ("silence.flac", silence, 2, 44100, 1, "flac", None, "digital silence"),
    ("click.wav", snare, 0.3, 44100, 2, "pcm_s16le", None, "shorter than one patch"),
)
SPEECH = (
    ("speech_en.wav", "en", "pcm_s16le", "Ask what is in a corpus, and get an answer."),
    ("speech_fr.mp3", "fr", "libmp3lame", "Demandez ce que contient un corpus sonore."),
)


def speak(voice: str, text: str) -> np.ndarray:
    """Mono float32 speech by espeak-ng, at its sample rate of 22,050 Hz."""
    wav = subprocess.run(
        ["espeak-ng", "-v", voice, "--stdout", text], check=True, capture_output=True
    ).stdout
    with av.open(io.BytesIO(wav), "r") as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(frames, axis=1).astype(np.float32) / 32768


# File, recipe of `training.recipes.rendered`, seed, encoder, bit rate, description.
PLAYED: tuple[tuple[str, str, int, str, int | None, str], ...] = (
    ("piano.flac", "piano", 1, "flac", None, "piano"),
    ("drum_loop.ogg", "drum_kit", 2, "libvorbis", None, "drum loop"),
    ("choir.mp3", "singing", 3, "libmp3lame", 64000, "choir"),
    ("church_bell.flac", "church_bell", 4, "flac", None, "church bell"),
    ("telephone.wav", "telephone", 5, "pcm_s16le", None, "telephone ringing"),
    ("rain.ogg", "rain", 6, "libvorbis", None, "rain"),
)
PLAYED_S = 5.0
_AWB_TEXT = "This sentence was read by a computer that sounds like a man from Scotland."


def speak_awb() -> np.ndarray:
    """Mono float32 speech by flite's voice awb, at 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "speech.wav"
        subprocess.run(
            ["flite", "-voice", "awb", "-t", _AWB_TEXT, "-o", str(path)], check=True
        )
        samples, _ = soundfile.read(path, dtype="float32")
    return np.asarray(samples)


def write_signals() -> list[tuple[str, str]]:
    """Writes CLIPS; returns file names and descriptions."""
    rows = []
    for seed, (name, sound, seconds, rate, channels, codec, bits, text) in enumerate(
        CLIPS
    ):
        t = np.arange(round(seconds * rate)) / rate
        rng = np.random.default_rng(seed)
        samples = np.stack([sound(t, rng) for _ in range(channels)])
        encode(FOLDER / name, samples, rate, codec, bits)
        rows.append((name, text))
    return rows


def write_speech() -> list[tuple[str, str]]:
    """Writes the clips of speech; returns file names and descriptions."""
    rows = []
    for name, voice, codec, text in SPEECH:
        encode(FOLDER / name, speak(voice, text), 22050, codec)
        rows.append((name, f"synthetic speech ({voice})"))
    encode(FOLDER / "speech_man.flac", speak_awb()[np.newaxis], 16000, "flac")
    rows.append(("speech_man.flac", "synthetic speech, from recordings of a man"))
    return rows


def write_played() -> list[tuple[str, str]]:
    """Writes PLAYED; returns file names and descriptions."""
    (font,) = (font for font in HELD_OUT_FONTS if font.name == "gmbank")
    recipes = {recipe.name: recipe for recipe in RECIPES}
    rows = []
    for name, recipe, seed, codec, bits, text in PLAYED:
        source = recipes[recipe].source
        assert isinstance(source, Instrument | DrumKit | Effects)
        rng = np.random.default_rng(seed)
        (samples,) = render_phrases(font, source, 1, PLAYED_S, rng)
        encode(FOLDER / name, samples[np.newaxis], SAMPLE_RATE_HZ, codec, bits)
        rows.append((name, text))
    return rows


def write_broken() -> list[tuple[str, str]]:
    """Writes a truncated file and one without audio; returns names and descriptions."""
    whole = (FOLDER / "siren.wav").read_bytes()
    (FOLDER / "cut_off.wav").write_bytes(whole[: len(whole) // 2])
    noise_bytes = np.random.default_rng(99).bytes(5000)
    (FOLDER / "damaged.mp3").write_bytes(noise_bytes)
    return [
        ("cut_off.wav", "siren.wav, cut off in the middle"),
        ("damaged.mp3", "random bytes: damaged on purpose"),
    ]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    rows = [*write_signals(), *write_speech(), *write_played(), *write_broken()]
    with open(
        FOLDER.parent / "manifest.csv", "w", newline="", encoding="utf-8"
    ) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["uri", "clip_id", "description"])
        writer.writerows(
            (f"clips/{name}", name.partition(".")[0], text)
            for name, text in sorted(rows)
        )


if __name__ == "__main__":
    main()
