"""Gaps and overlaps between the files of a recorder, also when clocks change."""

import datetime
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.results.report.recordings.coverage import (
    Recorder,
    coverage,
    coverage_data,
)
from pipeline.results.report.recordings.pieces import Piece, recorder_of


def piece(start: str, length_s: float, uri: str = "", begin_s: float = 0.0) -> Piece:
    """A clip of a file that starts at a time; the uri tells the time by default."""
    time = datetime.datetime.fromisoformat(start)
    uri = uri or f"/rec/{start}.wav"
    return Piece(f"{uri} {begin_s}", uri, begin_s, begin_s + length_s, time)


def only(pieces: Sequence[Piece]) -> Recorder:
    (found,) = coverage(pieces)
    return found


def lengths(found: Recorder) -> tuple[list[float], list[float]]:
    return [b.seconds for b in found.gaps], [b.seconds for b in found.overlaps]


def test_gaps_and_overlaps_over_two_seconds_count() -> None:
    found = only(
        [
            piece("2023-12-31T23:00:00", 3600),
            piece("2024-01-01T00:00:02", 3600),
            piece("2024-01-01T01:00:05", 600),
            piece("2024-01-01T01:10:00", 600),
        ]
    )
    assert lengths(found) == ([3], [5])
    (gap,), (overlap,) = found.gaps, found.overlaps
    assert gap.before == "2024-01-01T00:00:02.wav"
    assert gap.after == overlap.before == "2024-01-01T01:00:05.wav"
    clock = datetime.datetime(1970, 1, 1) + datetime.timedelta(
        seconds=gap.start.local_s
    )
    assert clock.isoformat() == "2024-01-01T01:00:02" and gap.start.offset == ""
    assert found.audio_s == 3600 + 3600 + 600 + 595
    assert found.num_files == 4


def test_a_file_within_another_does_not_end_it() -> None:
    found = only(
        [
            piece("2024-05-01T00:00:00", 3600),
            piece("2024-05-01T00:10:00", 60),
            piece("2024-05-01T01:00:00", 60),
        ]
    )
    assert lengths(found) == ([], [60])
    assert found.audio_s == 3660
    assert found.last.local_s - found.first.local_s == 3660


@pytest.mark.parametrize(
    ("starts", "with_zone", "without_zone"),
    [
        # Clocks go forward at 2:00.
        (("2024-03-31T01:00:00+01:00", "2024-03-31T03:00:00+02:00"), [], [3600]),
        # Clocks go back at 3:00: the hour from 2:00 comes twice.
        (("2024-10-27T02:00:00+02:00", "2024-10-27T02:00:00+01:00"), [], [-3600]),
    ],
)
def test_a_change_of_the_clocks_is_neither_gap_nor_overlap(
    starts: tuple[str, str], with_zone: list[float], without_zone: list[float]
) -> None:
    gaps, overlaps = lengths(only([piece(start, 3600) for start in starts]))
    assert gaps == overlaps == with_zone
    # Without a zone, nobody can tell.
    naive = [piece(start[:19], 3600, f"/rec/{start}.wav") for start in starts]
    gaps, overlaps = lengths(only(naive))
    assert gaps + [-seconds for seconds in overlaps] == without_zone


def test_pauses_of_a_schedule_are_no_gaps() -> None:
    minutes = [0, 10, 20, 30, 41, 60, 70]
    found = only(
        [piece(f"2024-05-01T{m // 60:02}:{m % 60:02}:00", 60) for m in minutes]
    )
    assert found.usual_pause_s == 540
    assert lengths(found) == ([1080], [])
    few = only([piece(f"2024-05-01T00:{m}:00", 60) for m in (10, 20, 30)])
    assert few.usual_pause_s == 0 and lengths(few) == ([540, 540], [])


def test_excerpts_of_one_file_do_not_overlap() -> None:
    start, uri = "2024-05-01T00:00:00", "/rec/a.wav"
    found = only([piece(start, 60, uri, begin_s) for begin_s in (0, 30, 120)])
    assert lengths(found) == ([30], [])
    assert found.num_files == 1 and found.audio_s == 150


def test_times_with_and_without_a_zone_are_not_compared() -> None:
    pieces = [piece("2024-05-01T00:00:00+02:00", 60), piece("2024-05-01T00:00:00", 60)]
    assert [lengths(found) for found in coverage(pieces)] == [([], [])] * 2
    unknown = Piece("a", "/rec/a.wav", 0, 60, None)
    assert coverage([unknown]) == [] and coverage_data([unknown], 9) is None
    data = coverage_data([*pieces, unknown], 1)
    assert data and data["num_recorders"] == 2 and len(data["recorders"]) == 1
    assert data["num_unknown"] == 1


@pytest.mark.parametrize(
    ("uri", "recorder"),
    [
        ("/data/site 1/20240611/a.wav", "/data/site 1"),
        ("/data/site1/2024/06/11/a.wav", "/data/site1"),
        ("/data/site1/2024-06/a.wav", "/data/site1"),
        ("/data/site1/2024_06_11/a.wav", "/data/site1"),
        ("/data/site2024/a.wav", "/data/site2024"),
        ("/data/20241345/a.wav", "/data/20241345"),
        ("/data/0012/a.wav", "/data/0012"),
        ("s3://bucket/x/2023/a.wav", "s3://bucket/x"),
        ("a.wav", ""),
    ],
)
def test_folders_named_by_dates_are_not_recorders(uri: str, recorder: str) -> None:
    assert recorder_of(uri) == recorder


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), min_size=1))
def test_audio_counts_once(spans: list[tuple[int, int]]) -> None:
    begin = datetime.datetime(2024, 12, 31, 23, 58, tzinfo=datetime.UTC)
    pieces = [
        Piece(str(i), f"/rec/{i}.wav", 0, s, begin + datetime.timedelta(seconds=t))
        for i, (t, s) in enumerate(spans)
    ]
    covered = {second for t, s in spans for second in range(t, t + s)}
    found = only(pieces)
    assert found.audio_s == len(covered)
    silent = found.last.local_s - found.first.local_s - len(covered)
    assert sum(gap.seconds for gap in found.gaps) <= silent
