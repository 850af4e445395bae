"""The versions of a shift test are cut out of the files where they should be."""

import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.main import main
from pipeline.errors import ConfigError
from pipeline.inputs.cut import Length
from pipeline.inputs.read_inputs import read_inputs
from pipeline.inputs.shifts import (
    DEFAULT_OFFSETS_MS,
    ShiftSettings,
    plan_shifts,
    versions_of,
)
from tests.support.audio_files import make_readable, make_wav
from transforms.audio import decode_audio
from transforms.decoding.ffmpeg import decode_file
from transforms.elements import Clip
from transforms.features import compute_patches
from transforms.front_end.patches import DEFAULT_PATCHES
from transforms.schemas import PATCH_DURATION_S

SETTINGS = ShiftSettings(offsets_ms=(0.02, 1, 7.3, 498.87))


def samples_of(row: dict[str, Any], rate_hz: int) -> tuple[int, int]:
    return round(row["start_s"] * rate_hz), round(row["end_s"] * rate_hz)


@given(
    rate_hz=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000]),
    num_samples=st.integers(200_000, 10**9),
    start=st.integers(0, 10_000),
    offsets_ms=st.sets(st.floats(0.001, 500), min_size=1, max_size=5),
    num_slack=st.integers(0, 5000),
)
def test_versions_are_equally_long_and_within_the_file(
    rate_hz: int,
    num_samples: int,
    start: int,
    offsets_ms: set[float],
    num_slack: int,
) -> None:
    settings = ShiftSettings(offsets_ms=tuple(sorted(offsets_ms)))
    row = {"clip_id": "a", "uri": "a.wav", "start_s": start / rate_hz}
    length = Length(num_samples / rate_hz, rate_hz, num_slack / rate_hz)
    places = [samples_of(x, rate_hz) for x in versions_of(row, length, settings)]
    assert places[0][0] == start and places[-1][1] == num_samples - num_slack
    assert len({stop - first for first, stop in places}) == 1
    for (first, _), offset_ms in zip(places[1:], settings.offsets_ms, strict=True):
        # A shift is by one sample at least.
        assert first - start == max(1, round(offset_ms * rate_hz / 1000))


def test_excerpts_are_shifted_within_their_times() -> None:
    row = {"clip_id": "a", "uri": "a.wav", "start_s": 1.0, "end_s": 3.0}
    rows = versions_of(row, Length(10, 44100), SETTINGS)
    assert samples_of(rows[0], 44100) == (44100, 3 * 44100 - 22000)
    assert samples_of(rows[-1], 44100) == (44100 + 22000, 3 * 44100)
    assert rows[1]["clip_id"] == "a+0.02ms" and rows[1]["shift_of"] == "a"


def test_clips_without_a_patch_after_the_largest_offset_have_no_versions() -> None:
    row = {"clip_id": "a", "uri": "a.wav"}
    shortest_s = PATCH_DURATION_S + 22000 / 44100
    assert versions_of(row, Length(shortest_s + 1e-4, 44100), SETTINGS)
    assert not versions_of(row, Length(shortest_s - 1e-4, 44100), SETTINGS)
    assert SETTINGS.shortest_s == pytest.approx(shortest_s, abs=1e-4)


def test_default_offsets_are_those_of_one_sample_to_the_hop_of_patches() -> None:
    assert round(DEFAULT_OFFSETS_MS[0] / 1000 * 48000) == 1
    hop_s = DEFAULT_PATCHES.hop_s
    assert round(DEFAULT_OFFSETS_MS[-1] / 1000 * 22050) == round(hop_s * 22050)


def patches_of(clip: Clip) -> np.ndarray:
    patches = compute_patches(decode_audio(clip), DEFAULT_PATCHES).patches
    assert patches is not None
    return patches


@pytest.mark.parametrize(
    "name", ["pcm16_44k.wav", "pcm16_16k.wav", "flac.flac", "mp3_44k.mp3", "aac.m4a"]
)
def test_a_version_equals_the_file_with_samples_cut_from_its_start(
    tmp_path: pathlib.Path, name: str
) -> None:
    path = make_readable(tmp_path, name)
    plan = plan_shifts(read_inputs([str(path)]), SETTINGS)
    with path.open("rb") as file:
        decoded = decode_file("a", file)
    rate_hz = decoded.sample_rate_hz
    rows = plan.table.to_pylist()
    assert len(rows) == 5
    for index, row in enumerate(rows):
        first, stop = samples_of(row, rate_hz)
        assert stop <= len(decoded.samples)
        cut = tmp_path / f"{index}.wav"
        # The file that is left when the first samples are cut off; all versions end
        # early, by equally many samples.
        rest = decoded.samples[first:]
        soundfile.write(cut, rest[: stop - first], rate_hz, "FLOAT")
        version = Clip("a", row["uri"], start_s=row["start_s"], end_s=row["end_s"])
        found, expected = (patches_of(clip) for clip in (version, Clip("a", str(cut))))
        assert len(found)
        np.testing.assert_array_equal(found, expected)


@pytest.fixture
def corpus(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(6):
        make_wav(folder / f"{index}.wav", 44100 + index)
    make_wav(folder / "short.wav", 20000)
    (folder / "text.wav").write_text("this is no audio")
    return folder


def drawn(table: pa.Table, **settings: Any) -> set[str]:
    plan = plan_shifts(table, ShiftSettings(**settings))
    return {*plan.table["shift_of"].to_pylist()} - {*plan.unread}


def test_the_draw_depends_on_the_seed_and_not_on_the_order(
    corpus: pathlib.Path,
) -> None:
    table = read_inputs([str(corpus)])
    draws = [drawn(table, num_clips=3, seed=seed) for seed in range(8)]
    assert all(len(draw) == 3 for draw in draws)
    assert len({*map(frozenset, draws)}) > 1
    turned = table.take(np.arange(table.num_rows)[::-1])
    assert draws == [drawn(turned, num_clips=3, seed=seed) for seed in range(8)]


def test_what_is_left_out_is_said(corpus: pathlib.Path) -> None:
    plan = plan_shifts(read_inputs([str(corpus)]), SETTINGS)
    assert plan.num_clips == 6 and plan.table.num_rows == 6 * 5 + 1
    assert len(plan.too_short) == 1 and plan.too_short[0].startswith("short")
    (unread,) = plan.unread
    assert unread.startswith("text")
    notes = "\n".join(plan.notes(SETTINGS))
    assert "6 clips to shift, each in 5 versions" in notes
    assert "1 clip left out, shorter than 1.53 s" in notes
    assert f"1 clip left out, whose length is not known: {unread} (" in notes


def test_without_a_clip_to_shift_nothing_is_planned(corpus: pathlib.Path) -> None:
    table = read_inputs([str(corpus / "short.wav"), str(corpus / "text.wav")])
    with pytest.raises(ConfigError, match=r"no clip can be shifted; 1 clip left out.*"):
        plan_shifts(table, SETTINGS)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--offsets", "1,1"], "offsets is 1,1, expected increasing"),
        (["--offsets", "0,1"], "offsets is 0,1, expected increasing"),
        (["--offsets", "1,inf"], "offsets is 1,inf, expected increasing"),
        (["--clips", "0"], "clips is 0, expected 1 or more"),
        (["--seed", "-1"], "seed is -1, expected 0 or more"),
        (["--resamples", "0"], "resamples is 0, expected 1 or more"),
        (["--class-clips", "0"], "class-clips is 0, expected 1 or more"),
        (["--workers", "0"], "workers is 0, expected at least 1"),
        (["--model", "fsd-sinet-vgg41-tlpf-dmo"], "did you mean"),
    ],
)
def test_options_out_of_range_are_refused(
    corpus: pathlib.Path,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    problem: str,
) -> None:
    command = ["shift-test", str(corpus), "--model", str(tiny_model), "--output"]
    assert main([*command, str(tmp_path / "out"), *options]) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
