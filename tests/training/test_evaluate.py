"""`training.evaluate`: scores equal results by hand; recordings held out are read."""

import pathlib
import struct

import numpy as np
import pytest

from training.evaluate import (
    Clip,
    average_precision,
    average_precisions,
    by_source,
    family_members,
    heard_part,
    score_held_out,
    score_recording,
)
from training.recipes.rendered import RECIPES, TRAINED_LABELS
from training.recordings.held_out import Recording, fitted, read_qt_resource
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.models.registry import published_labels

LABELS = published_labels()
BY_NAME = {recipe.name: recipe for recipe in RECIPES}


def scores(**by_label: float) -> np.ndarray:
    """Returns activations [200]: 0 except for the given labels (with _ for spaces)."""
    result = np.zeros(len(LABELS), np.float32)
    for label, score in by_label.items():
        result[LABELS.index(label.replace("_", " "))] = score
    return result


@pytest.mark.parametrize(
    ("truth", "given", "expected"),
    [
        ([1, 0], [0.9, 0.1], 1),
        ([0, 1], [0.9, 0.1], 1 / 2),
        ([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.6], (1 + 2 / 3) / 2),
        ([0, 1, 0, 1, 1], [0.1, 0.9, 0.8, 0.2, 0.3], (1 + 2 / 3 + 3 / 4) / 3),
        # Of equal scores, those of clips without the label count first.
        ([1, 0], [0.5, 0.5], 1 / 2),
        ([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], 1 / 4),
        ([0, 1, 1, 0], [0.0, 0.0, 0.0, 0.0], (1 / 3 + 2 / 4) / 2),
        ([1, 1, 0], [0.9, 0.5, 0.5], (1 + 2 / 3) / 2),
        ([1, 1], [0.2, 0.1], 1),
    ],
)
def test_average_precision_equals_results_by_hand(
    truth: list[int], given: list[float], expected: float
) -> None:
    result = average_precision(np.array(truth, bool), np.array(given))
    assert result == pytest.approx(expected)
    # The order of the clips does not matter.
    backwards = average_precision(np.array(truth[::-1], bool), np.array(given[::-1]))
    assert backwards == pytest.approx(expected)


def test_clips_do_not_count_for_labels_that_are_unknown_for_them() -> None:
    recipe = BY_NAME["male_speech"]
    assert "Speech synthesizer" in recipe.unknown
    clips = [
        Clip(BY_NAME["speech_synthesizer"], "voices", scores(Speech_synthesizer=0.5)),
        Clip(recipe, "voices", scores(Speech_synthesizer=0.9, Speech=0.9)),
        Clip(BY_NAME["wind"], "timgm", scores(Wind=0.8, Speech=0.7)),
    ]
    result = average_precisions(clips)
    assert result["Speech synthesizer"] == 1
    # One of the two speech clips scores less than the wind clip: 1 of 1, and 2 of 3.
    assert result["Speech"] == pytest.approx((1 + 2 / 3) / 2)
    assert result["Wind"] == 1
    # The sex of a synthesiser is unknown, so only the wind clip is certainly not male.
    assert result["Male speech and man speaking"] == pytest.approx(1 / 2)
    assert "Female speech and woman speaking" not in result, "no clip has it"
    assert set(result) < set(TRAINED_LABELS)


def test_a_label_that_all_clips_have_is_not_scored() -> None:
    clips = [Clip(BY_NAME[name], "timgm", scores()) for name in ("piano", "harp")]
    result = average_precisions(clips)
    assert "Music" not in result and "Musical instrument" not in result
    assert set(result) == {
        *("Piano", "Keyboard (musical)", "Harp"),
    }


def test_families_follow_the_ontology() -> None:
    drums = family_members(["Snare drum"])
    assert {"Percussion", "Drum", "Hi-hat", "Cowbell", "Glockenspiel"} <= drums
    assert not drums & {"Music", "Musical instrument", "Piano", "Speech"}
    piano = family_members(["Piano"])
    assert {"Musical instrument", "Trumpet", "Snare drum"} <= piano
    assert "Music" not in piano
    assert family_members(["Piano", "Bark"]) == piano | family_members(["Bark"])
    # A label in no family has the family of its most general label.
    assert family_members(["Train"]) >= {"Train", "Vehicle", "Aircraft"}
    assert family_members(["Wind"]) == {"Wind"}
    assert family_members([]) == set()


def test_recording_is_scored_by_its_best_labels() -> None:
    samples = np.zeros(10, np.float32)
    recording = Recording("drum kit", "snare", ("Snare drum",), samples)
    heard = scores(Music=0.9, Percussion=0.8, Drum=0.6, Snare_drum=0.5, Wind=0.3)
    result = score_recording(recording, heard)
    assert [*result["top_3"]] == ["Music", "Percussion", "Drum"]
    assert result["top_3"]["Percussion"] == 0.8
    assert result["top_3_specific"] == ["Drum", "Snare drum", "Wind"]
    assert result["family_in_top_3"] and result["label_in_top_3"]
    assert not result["label_first"]
    # The score is 0.5, and not over 0.5.
    assert not result["label_heard"]
    assert result["highest_false_score"] == 0.3
    unknown = Recording("unknown", "crow", (), samples)
    result = score_recording(unknown, heard)
    assert not result["family_in_top_3"] and not result["label_in_top_3"]
    assert (result["highest_false"], result["highest_false_score"]) == ("Music", 0.9)


def test_labels_allowed_for_an_unknown_sound_do_not_count_as_false() -> None:
    till = Recording("unknown", "till", (), np.zeros(3), ("Bell",))
    result = score_recording(till, scores(Music=0.9, Bell=0.8, Alarm=0.4, Wind=0.3))
    assert (result["highest_false"], result["highest_false_score"]) == ("Alarm", 0.4)
    assert not result["family_in_top_3"]


def test_labels_with_scores_over_a_half_are_counted() -> None:
    loud, soft = scores(Drum=0.6, Percussion=0.7), scores(Drum=0.2, Bark=0.9)
    drum = BY_NAME["recorded_tom_toms"]
    assert drum.all_labels == ("Drum", "Percussion", "Musical instrument", "Music")
    clips = [Clip(drum, "x", loud), Clip(drum, "x", soft)]
    assert heard_part(clips) == pytest.approx(2 / 8)
    recording = Recording("samples", "drum", ("Drum", "Snare drum"), np.zeros(3))
    assert score_recording(recording, loud)["label_heard"]
    assert not score_recording(recording, soft)["label_heard"]


def test_held_out_files_are_scored_by_recipe(tmp_path: pathlib.Path) -> None:
    names = ("drum-timgm", "drum_kit-gmbank", "whispering-other")
    for value, name in enumerate(names, 1):
        audio = np.full((2, 5), value, np.float32)
        np.savez(tmp_path / f"{name}.npz", audio=audio, mels=np.zeros(1))
    clips = score_held_out(lambda samples: samples * 10, tmp_path)
    found = [(clip.recipe.name, clip.source, float(clip.scores[0])) for clip in clips]
    assert found == [
        *[("drum", "timgm", 10)] * 2,
        *[("drum_kit", "gmbank", 20)] * 2,
        *[("whispering", "voices", 30)] * 2,
    ]


def test_rows_are_grouped_by_source() -> None:
    rows = [{"source": "b", "n": 1}, {"source": "a", "n": 2}, {"source": "b", "n": 3}]
    groups = by_source(rows)
    assert list(groups) == ["b", "a"]
    assert groups["b"] == [rows[0], rows[2]]


def qt_resource(version: int) -> bytes:
    """Returns a resource with three files, in the format of Qt's resource compiler."""
    stamp = bytes(8) if version >= 2 else b""
    names, contents = bytearray(), bytearray()

    def name(text: str) -> int:
        start = len(names)
        coded = text.encode("utf-16-be")
        names.extend(struct.pack(">HI", len(text), 0xABCDEF) + coded)
        return start

    def content(data: bytes) -> int:
        start = len(contents)
        contents.extend(struct.pack(">I", len(data)) + data)
        return start

    def folder(text: str, count: int, first: int) -> bytes:
        return struct.pack(">IHII", name(text), 2, count, first) + stamp

    def file(text: str, data: bytes) -> bytes:
        # Any territory, and the language C.
        locale = (0, 1)
        return struct.pack(">IHHHI", name(text), 0, *locale, content(data)) + stamp

    nodes = [
        folder("", 3, 1),
        file("a.ogg", b"OggS first"),
        folder("folder", 1, 4),
        file("notes.txt", b"no sound"),
        file("b.ogg", b"OggS second, longer"),
    ]
    tree = b"".join(nodes)
    header = 24 if version >= 3 else 20
    tree_at = header + len(contents)
    offsets = struct.pack(">4I", version, tree_at, header, tree_at + len(tree))
    flags = struct.pack(">I", 0) if version >= 3 else b""
    return b"qres" + offsets + flags + bytes(contents) + tree + bytes(names)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_audio_files_of_qt_resources_are_read(version: int) -> None:
    assert read_qt_resource(qt_resource(version)) == {
        "a.ogg": b"OggS first",
        "b.ogg": b"OggS second, longer",
    }


def test_short_recordings_are_repeated_and_long_ones_cut() -> None:
    second = np.arange(1, SAMPLE_RATE_HZ + 1, dtype=np.float32)
    repeated = fitted(second)
    unit = SAMPLE_RATE_HZ + SAMPLE_RATE_HZ // 5
    assert repeated.dtype == np.float32
    assert len(repeated) == 3 * unit
    for start in range(0, 3 * unit, unit):
        np.testing.assert_array_equal(repeated[start : start + len(second)], second)
        assert not repeated[start + len(second) : start + unit].any()
    fits = np.tile(second, 5)
    np.testing.assert_array_equal(fitted(fits), fits)
    np.testing.assert_array_equal(fitted(np.tile(second, 9)), np.tile(second, 8))
