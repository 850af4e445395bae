"""TiMidity++ plays patches like soundfonts: only existing patches, and on time."""

import dataclasses
import pathlib

import numpy as np
import pytest

from training.packages import Package, missing
from training.recipes.sources import DrumKit, Drums, Effects, Instrument
from training.synthesis.midi import ALL_OFF, DRUM_CHANNEL, SUSTAIN, Score
from training.synthesis.phrases import Phrase
from training.synthesis.soundfonts import (
    TRAINED_FONTS,
    Soundfont,
    _synthesise,
    can_play,
    read_presets,
    render_phrases,
    usable_presets,
)
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ

FREEPATS = TRAINED_FONTS[-1]
FREEPATS_PACKAGE = Package(FREEPATS.package, str(FREEPATS.path))
CONFIGURATION = """dir /usr/share/midi
# 7 comment.pat
drumset 0
 36\tDrum_000/kick.pat amp=100
 38\tDrum_000/snare.pat # 39 clap.pat

bank 0
 0\tTone_000/piano.pat amp=120 pan=center
 48\tTone_000/strings.pat
"""


@pytest.fixture
def font(tmp_path: pathlib.Path) -> Soundfont:
    path = tmp_path / "small.cfg"
    path.write_text(CONFIGURATION)
    return Soundfont("small", path, "small-package")


def test_presets_of_a_configuration(font: Soundfont) -> None:
    assert read_presets(font.path) == {(0, 0), (0, 48), (128, 0)}
    source = Instrument(((0, 48), (0, 49), (8, 48)), 36, 91, "poly")
    assert usable_presets(font, source) == (((0, 48),), (0,))
    assert not can_play(font, Instrument(((0, 49),), 36, 91, "poly"))


def test_presets_shared_with_a_held_out_font_are_never_played(font: Soundfont) -> None:
    strings = Instrument(((0, 48),), 36, 91, "poly")
    shared = dataclasses.replace(font, shared=frozenset({(0, 48)}))
    assert can_play(font, strings) and not can_play(shared, strings)


def skip_without(*packages: Package) -> None:
    if absent := missing(packages):
        pytest.skip(f"needs Debian packages: {' '.join(p.name for p in absent)}")


def test_presets_that_freepats_shares_are_never_played() -> None:
    skip_without(FREEPATS_PACKAGE)
    assert not usable_presets(FREEPATS, Effects(((0, 122),)))[0]


def test_drums_without_a_patch_are_never_played(
    font: Soundfont, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert can_play(font, Drums((38, 39))) and can_play(font, DrumKit())
    assert not can_play(font, Drums((29, 30)))
    played: list[int] = []

    def note(
        phrase: Phrase, now: float, length: float, key: int, velocity: int, channel: int
    ) -> None:
        played.append(key)

    monkeypatch.setattr(Phrase, "_note", note)
    monkeypatch.setattr(
        "training.synthesis.soundfonts._synthesise",
        lambda score, path: np.zeros(9, np.float32),
    )
    source = Drums((36, 29, 38, 30))
    render_phrases(font, source, 2, 10.0, np.random.default_rng(0))
    assert set(played) == {36, 38}


def test_patches_sound_at_the_times_of_the_score() -> None:
    skip_without(Package("timidity", "timidity"), FREEPATS_PACKAGE)
    score = Score()
    score.control(0, 0, SUSTAIN, 127)
    for start_s in (10, 12):
        score.control(start_s, 0, ALL_OFF, 0)
        score.note(start_s + 0.5, start_s + 1, 0, 60, 100)
    score.control(14, 0, ALL_OFF, 0)
    score.note(15, 15.1, DRUM_CHANNEL, 38, 100)
    samples = np.abs(_synthesise(score, FREEPATS.path))

    def highest(start_s: float, end_s: float) -> float:
        start, end = (round(s * SAMPLE_RATE_HZ) for s in (start_s, end_s))
        return float(samples[start:end].max())

    for onset_s in (10.5, 12.5, 15.0):
        assert highest(onset_s - 0.4, onset_s) < 2e-3
        assert 0.03 < highest(onset_s, onset_s + 0.03) < 0.9
    assert highest(11.5, 12) > 2e-3
