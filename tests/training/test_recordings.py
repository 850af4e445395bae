"""Sounds are read from every kind of archive, and chosen by patterns."""

import io
import itertools
import pathlib
import struct
import wave
import zipfile

import numpy as np
import pytest

from training.recipes.sources import Recordings
from training.recordings import clips as recordings
from training.recordings import groups as recording_groups
from training.recordings.added_groups import ADDED_GROUPS
from training.recordings.archives import Archive, list_sounds
from training.recordings.clips import matching, read_audio, render_recordings
from training.recordings.groups import GROUPS, Patterns

RATE_HZ = 11025
KEPT_GROUPS = ("further_strange", "further_animals", "further_machines")
TONE = (127 * np.sin(np.arange(4000) / 5) + 128).astype(np.uint8)


def wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 1, RATE_HZ, 0, "NONE", ""))
        file.writeframes(TONE.tobytes())
    return buffer.getvalue()


def folder(path: pathlib.Path) -> Archive:
    (path / "a").mkdir()
    (path / "a/tone.wav").write_bytes(wav())
    (path / "a/readme.txt").write_text("no sound")
    return Archive("some-data", path)


def pk3(path: pathlib.Path) -> Archive:
    with zipfile.ZipFile(path / "0.pk3", "w") as file:
        file.writestr("a/tone.wav", wav())
        file.writestr("a/readme.txt", "no sound")
    return Archive("some-data", path / "0.pk3")


def wad(path: pathlib.Path) -> Archive:
    sound = struct.pack("<HHI", 3, RATE_HZ, len(TONE) + 32)
    sound += bytes(16) + TONE.tobytes() + bytes(16)
    rows = [(12, len(sound), b"DSTONE"), (12, len(sound), b"E1M1"), (12, 8, b"DSNONE")]
    directory = b"".join(struct.pack("<ii8s", *row) for row in rows)
    header = struct.pack("<4sii", b"IWAD", len(rows), 12 + len(sound))
    (path / "doom.wad").write_bytes(header + sound + directory)
    return Archive("some-data", path / "doom.wad")


def cat(path: pathlib.Path) -> Archive:
    title = b'"Tone". By nobody.\0'
    entry = bytes([len(title)]) + title + wav()
    row = struct.pack("<II", 8 | 1 << 31, len(wav()))
    (path / "some.cat").write_bytes(row + entry)
    return Archive("some-data", path / "some.cat")


@pytest.mark.parametrize(
    ("make", "name"),
    [(folder, "a/tone"), (pk3, "a/tone"), (wad, "DSTONE"), (cat, "Tone")],
)
def test_sounds_of_archives_are_read(tmp_path: pathlib.Path, make, name: str) -> None:  # type: ignore[no-untyped-def]
    sounds = list_sounds(make(tmp_path))
    assert list(sounds) == [name]
    with wave.open(io.BytesIO(sounds[name]())) as file:
        assert (file.getframerate(), file.getsampwidth()) == (RATE_HZ, 1)
        assert file.readframes(10**6) == TONE.tobytes()
    samples = read_audio(pathlib.Path(name), sounds[name]())
    assert len(samples) == pytest.approx(2 * len(TONE), abs=2)
    assert np.abs(samples).max() == pytest.approx(1, abs=0.1)


def test_the_error_for_a_missing_archive_names_its_package(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(FileNotFoundError, match="none: install some-data"):
        list_sounds(Archive("some-data", tmp_path / "none"))


def test_patterns_add_and_remove_names() -> None:
    names = ["a/one", "a/two", "b/one"]
    assert matching(names, ("a/*",)) == ["a/one", "a/two"]
    assert matching(names, ("*", "!a/*")) == ["b/one"]
    assert matching(names, ("b/*", "!*/one", "a/one")) == ["a/one"]
    assert matching(names, ("c*",)) == []


def test_clips_are_joined_with_pauses(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = folder(tmp_path)
    monkeypatch.setitem(recording_groups.GROUPS, "tones", {archive: ("*",)})
    monkeypatch.setitem(recording_groups.GROUPS, "none", {archive: ("x*",)})
    recordings._read_group.cache_clear()
    first, again = (
        render_recordings(Recordings("tones", (0.85, 1.18)), 4.0, rng)
        for rng in (np.random.default_rng(1), np.random.default_rng(1))
    )
    assert first.shape == (4 * 22050,) and first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    is_loud = np.abs(first) > 0.1
    assert 0.1 < is_loud.mean() < 0.9 and np.abs(first).max() <= 1.2
    with pytest.raises(FileNotFoundError, match="x*"):
        render_recordings(Recordings("none", (1, 1)), 4.0, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("groups", "kept"),
    [(GROUPS, "strange"), *((ADDED_GROUPS, name) for name in KEPT_GROUPS)],
)
def test_no_recording_is_both_trained_on_and_kept_for_calibration(
    groups: dict[str, Patterns], kept: str
) -> None:
    """Compares the sounds of installed archives, and the patterns of other archives."""
    for group, archive in itertools.product(groups, groups[kept]):
        patterns = groups[group].get(archive, ())
        if group in ("strange", *KEPT_GROUPS) or not patterns:
            continue
        if archive.path.exists():
            names = [*list_sounds(archive)]
            held_back = set(matching(names, groups[kept][archive]))
            assert not held_back & set(matching(names, patterns)), group
        else:
            assert not set(patterns) & set(groups[kept][archive]), group
