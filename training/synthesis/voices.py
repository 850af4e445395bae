"""Reads random sentences with speech synthesisers: espeak-ng, flite, festival.

Most of the male and female speech is by voices made from recorded speakers (those of
flite, and festival's kdlpc16k and msu_ru; permissive licences). The rest is by voices
of espeak-ng. Every clip gets its own speaker: a change of the sample rate moves pitch
and formants together. One more speaker of flite and two of festival are held out.
"""

import dataclasses
import io
import pathlib
import subprocess
import tempfile
from typing import Literal

import numpy as np
import soundfile

from training.recipes.sources import Speech
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.resampling.whole import resample

Random = np.random.Generator
Program = Literal["espeak", "flite", "festival"]


@dataclasses.dataclass(frozen=True)
class Voice:
    """A voice of a synthesiser.

    Attributes:
        program: Synthesiser.
        name: Name of the voice in the synthesiser.
        words: Language of the words that the voice can read.
    """

    program: Program
    name: str
    words: str = "english"


_ENGLISH = """the a one this that every no some people time year way day man thing woman
life child world school state family student group country problem hand part place case
week company system program question work government number night point home water room
mother area money story fact month lot right study book eye job word business issue side
kind head house service friend father power hour game line end member law car city name
president team minute idea kid body information back parent face others level office
door health person art war history party result change morning reason research girl guy
moment air teacher force education is was has had says goes makes knows takes sees comes
thinks looks wants gives uses finds tells asks works seems feels tries leaves calls and
or but if because as until while of at by for with about against between into through
during before after above below to from up down in out on off over under again further
then once here there when where why how all any both each few more most other such only
own same so than too very can will just should now please press thank you welcome four
seven zero nine two hello goodbye yes""".split()
_RUSSIAN = """я ты он она мы вы они это один два три город время человек дело жизнь день
рука раз год слово место лицо друг глаз вопрос дом сторона страна мир случай голова
ребёнок сила конец вид система часть деньги земля машина вода отец работа дверь утро
говорить знать стать есть хотеть видеть идти стоять думать спросить жить сделать очень
можно надо только ещё уже потом здесь там сегодня завтра хорошо спасибо""".split()
_ITALIAN = """il la un una questo quella giorno tempo casa uomo donna vita mano
cosa anno mondo parte strada acqua porta libro storia famiglia lavoro parola notte
buongiorno grazie prego sono era ha vuole vede dice fa va viene parla mangia legge e o
ma se come quando dove molto poco sempre mai bene oggi domani ancora""".split()
_WORDS = {"english": _ENGLISH, "russian": _RUSSIAN, "italian": _ITALIAN}


def _espeak(*variants: str) -> tuple[Voice, ...]:
    return tuple(Voice("espeak", variant) for variant in variants)


TRAINED: dict[str, tuple[Voice, ...]] = {
    "male": (
        *(Voice("flite", "rms"),) * 4,
        *(Voice("flite", "kal16"),) * 2,
        *(Voice("festival", "ked_diphone"),) * 3,
        *(Voice("festival", "msu_ru_nsh_clunits", "russian"),) * 4,
        *_espeak("m1", "m3", "m7", "Andy"),
    ),
    "female": (
        *(Voice("flite", "slt"),) * 6,
        *(Voice("festival", "cmu_us_slt_arctic_hts"),) * 3,
        *_espeak("f2", "f3", "f5", "Annie"),
    ),
    "robot": _espeak("", "m2", "klatt", "klatt3", "Robosoft", "f1", "UniRobot"),
    "whisper": _espeak("whisper"),
}
HELD_OUT: dict[str, tuple[Voice, ...]] = {
    "male": (
        Voice("flite", "awb"),
        Voice("festival", "pc_diphone", "italian"),
    ),
    "female": (Voice("festival", "lp_diphone", "italian"),),
    "robot": _espeak("m4", "klatt2", "Robosoft3"),
    "whisper": _espeak("whisperf"),
}
# Number of talkers that the crowds of a split are drawn from.
_CROWD = 32
_PITCH_HZ = {"male": (80, 150), "female": (165, 245)}
_LANGUAGES = ("en", "en-us", "en-gb-scotland", "de", "fr", "es", "it", "ru", "pl")


def render_speech(
    source: Speech, voices: dict[str, tuple[Voice, ...]], length_s: float, rng: Random
) -> np.ndarray:
    """Renders a clip of one speaker, with sentences and pauses.

    Args:
        source: Kind of speech.
        voices: Voices for each kind of speech.
        length_s: Length of the clip.
        rng: Random generator that decides voice, tempo, sentences and pauses.

    Returns:
        float32 [length_s * 22050], full scale at 1.
    """
    choices = voices[source.kind]
    voice = choices[int(rng.integers(len(choices)))]
    is_person = source.kind in ("male", "female")
    # A tenth slower to an eighth faster: this sounds like another speaker of the same
    # sex.
    tempo = rng.uniform(0.9, 1.12) if is_person else 1.0
    size = round(length_s * SAMPLE_RATE_HZ)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < size:
        pause = np.zeros(int(rng.uniform(0.05, 0.8) * SAMPLE_RATE_HZ), np.float32)
        parts += [pause, speak(voice, _sentence(voice, rng), source.kind, tempo, rng)]
    return np.concatenate(parts)[:size]


def render_crowd(
    voices: dict[str, tuple[Voice, ...]], length_s: float, number: int, rng: Random
) -> list[np.ndarray]:
    """Renders clips of 6 to 20 people who talk at once at different distances.

    Returns:
        `number` float32 arrays [length_s * 22050], peak at 0.7.
    """
    kinds: tuple[Literal["male", "female"], ...] = ("male", "female")
    talkers = [
        render_speech(Speech(kinds[index % 2]), voices, length_s, rng)
        for index in range(_CROWD)
    ]
    clips = []
    for _ in range(number):
        clip = np.zeros_like(talkers[0])
        for index in rng.choice(_CROWD, size=int(rng.integers(6, 21)), replace=False):
            # Each talker starts at a random position, so that no two crowds are alike.
            moved = np.roll(talkers[index], int(rng.integers(len(clip))))
            clip += moved * 10 ** (-rng.uniform(0, 15) / 20)
        clips.append(clip * np.float32(0.7 / np.abs(clip).max()))
    return clips


def speak(voice: Voice, text: str, kind: str, tempo: float, rng: Random) -> np.ndarray:
    """Reads a text with a voice: float32 [num_samples] at 22,050 Hz."""
    match voice.program:
        case "espeak":
            wav = _run_espeak(voice, text, rng)
        case "flite":
            wav = _run_flite(voice, text, _PITCH_HZ[kind], rng)
        case "festival":
            wav = _run_festival(voice, text)
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    return resample(np.ascontiguousarray(samples), round(rate * tempo))


def _sentence(voice: Voice, rng: Random) -> str:
    return " ".join(rng.choice(_WORDS[voice.words], size=int(rng.integers(5, 13))))


def _run_espeak(voice: Voice, text: str, rng: Random) -> bytes:
    language = str(rng.choice(_LANGUAGES))
    name = f"{language}+{voice.name}" if voice.name else language
    speed, pitch = rng.integers(120, 200), rng.integers(30, 70)
    return subprocess.run(
        ["espeak-ng", "-v", name, "-s", str(speed), "-p", str(pitch), "--stdout", text],
        check=True,
        capture_output=True,
    ).stdout


def _run_flite(
    voice: Voice, text: str, pitch_hz: tuple[int, int], rng: Random
) -> bytes:
    settings = {
        "duration_stretch": rng.uniform(0.8, 1.25),
        "int_f0_target_mean": rng.uniform(*pitch_hz),
        "int_f0_target_stddev": rng.uniform(10, 35),
    }
    options = [f"{key}={value:.3f}" for key, value in settings.items()]
    options = [part for option in options for part in ("--setf", option)]
    return _run_to_file(["flite", "-voice", voice.name, *options, "-t", text, "-o"])


def _run_festival(voice: Voice, text: str) -> bytes:
    command = ["text2wave", "-eval", f"(voice_{voice.name})", "-o"]
    return _run_to_file(command, text)


def _run_to_file(command: list[str], standard_input: str = "") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "speech.wav"
        subprocess.run(
            [*command, str(path)],
            check=True,
            input=standard_input.encode("utf-8"),
            capture_output=True,
        )
        return path.read_bytes()
