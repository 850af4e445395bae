"""The overview of the report: recordings over time, and the calendar."""

import base64
import datetime
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset.folder import Dataset
from pipeline.results.report.page_data import Limits, collect
from pipeline.results.report.recordings.cells import (
    coded,
    coded_share,
    keep_highest,
    spread,
)
from pipeline.results.report.recordings.overview import MAX_COLUMNS
from pipeline.results.report.recordings.pieces import local_seconds
from pipeline.results.report.recordings.time_axes import (
    DAY_S,
    Calendar,
    calendar_of,
    columns_of,
)
from tests.support.made_dataset import make_dataset, scored
from transforms.elements import Prediction
from transforms.events.settings import EventSettings

LABELS = ("Dog", "Rain", "Bark")
HOP_S = 50 * 220 / 22050


def unpack(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8)


def noise(num_patches: int, seed: int) -> Prediction:
    """Activations of 0 to 1; Rain has the highest ones, Bark has no events."""
    values = np.random.default_rng(seed).random((num_patches, 3)) * [0.8, 1, 0.4]
    return scored(values, np.zeros((num_patches, 2)))


def seconds_of(text: str) -> float:
    return local_seconds(datetime.datetime.fromisoformat(text))


def overview_of(folder: pathlib.Path, **limits: int) -> dict[str, Any]:
    (model,) = collect(Dataset(str(folder)), "/", Limits(**limits))["models"]
    found: dict[str, Any] = model["overview"]
    return found


@given(
    spans=st.lists(st.tuples(st.integers(-500, 500), st.integers(0, 200)), min_size=1),
    cell_s=st.integers(1, 90),
)
def test_spans_are_cut_at_the_bounds_of_cells(
    spans: list[tuple[int, int]], cell_s: int
) -> None:
    start_s = np.array([start for start, _ in spans], float)
    end_s = start_s + [length for _, length in spans]
    found = spread(start_s, end_s, cell_s)
    expected: dict[tuple[int, int], int] = {}
    for row, (start, length) in enumerate(spans):
        expected[row, start // cell_s] = 0
        for second in range(start, start + length):
            key = (row, second // cell_s)
            expected[key] = expected.get(key, 0) + 1
    rows = zip(found.row.tolist(), found.cell.tolist(), strict=True)
    assert dict(zip(rows, found.seconds.tolist(), strict=True)) == expected


@given(st.lists(st.integers(-1, 6), max_size=30), st.integers(0, 99))
def test_cells_keep_their_highest_activation(cells: list[int], seed: int) -> None:
    cells = [*[-1] * cells.count(-1), *sorted(cell for cell in cells if cell >= 0)]
    activations = np.random.default_rng(seed).random((len(cells), 2), np.float32)
    values = np.full((2, 7), 100, np.uint8)
    keep_highest(values, np.array(cells, np.int64), activations)
    for cell in range(7):
        mine = coded(activations[[i for i, c in enumerate(cells) if c == cell]])
        assert values[:, cell].tolist() == mine.max(axis=0, initial=100).tolist()


def test_codes_keep_little_apart_from_nothing() -> None:
    assert coded(np.array([0, 1, 2, 0.5])).tolist() == [1, 255, 255, 128]
    codes = coded_share(np.array([0, 0.1, 3600, 9999]), 3600)
    assert codes.tolist() == [0, 2, 255, 255]


def made_calendar(
    files: Sequence[tuple[str, str, float]], max_cells: int = 10**6
) -> Calendar:
    """A calendar of files: recorder, start and length in seconds."""
    origin_s = np.array([seconds_of(start) for _, start, _ in files])
    lengths_s = np.array([length_s for _, _, length_s in files])
    pieces = (np.arange(len(files)), np.zeros(len(files)), lengths_s)
    return calendar_of([name for name, _, _ in files], origin_s, pieces, max_cells)


def dates(days: list[int]) -> list[str]:
    return np.array(days, "datetime64[D]").astype(str).tolist()


def test_a_recording_over_a_year_s_end_is_on_two_days() -> None:
    found = made_calendar([("r", "2023-12-31T23:50:00", 1200)])
    assert [dates(days) for days in found.days()] == [["2023-12-31", "2024-01-01"]]
    cells = np.array([found.origin_s[0], found.origin_s[0] + 600]) // found.cell_s
    places = found.place(np.zeros(2, np.int64), cells.astype(np.int64))
    assert places.tolist() == [95, 96]
    beyond = found.place(np.array([0]), np.array([0]))
    assert beyond.tolist() == [-1]


def test_a_clock_that_was_not_set_is_on_the_calendar() -> None:
    found = made_calendar([("r", "1965-03-01T00:00:00", 60), ("r", "2024-02-29", 60)])
    assert [dates(days) for days in found.days()] == [["1965-03-01", "2024-02-29"]]


def test_a_calendar_that_is_too_large_is_coarser_and_then_has_fewer_recorders() -> None:
    files = [
        ("small", "2024-05-01T00:00:00", 60),
        *(("large", f"2024-05-{day:02}T00:00:00", 60) for day in (1, 2)),
    ]
    assert made_calendar(files, 3 * 96).cell_s == 900
    assert made_calendar(files, 3 * 96 - 1).cell_s == 1800
    found = made_calendar(files, 2 * 24)
    assert found.cell_s == 3600 and found.recorders == ("large",)
    assert np.isnan(found.origin_s).tolist() == [True, False, False]
    assert found.num_cells == 48
    assert found.place(np.array([0]), np.array([19844 * 24])).tolist() == [-1]
    assert made_calendar(files, 1).recorders == ("large",)


def test_columns_have_one_length_for_all_recordings() -> None:
    lengths_s = np.array([10.0, 43200.0, 100.0])
    found = columns_of(np.array([1, 0]), lengths_s, 0.5, 600)
    assert found.cell_s == 72 and found.counts.tolist() == [600, 1]
    files, cells = np.array([1, 1, 0, 0, 2]), np.array([599, 600, 0, 1, 0])
    assert found.place(files, cells).tolist() == [599, -1, 600, -1, -1]


def test_short_clips_without_times_have_no_overview(tmp_path: pathlib.Path) -> None:
    folder = make_dataset(tmp_path / "out", {"a": noise(9, 1)}, LABELS)
    assert overview_of(folder) is None
    assert collect(Dataset(str(folder)), "/", Limits())["coverage"] is None


def test_columns_of_recordings_have_the_highest_activations(
    tmp_path: pathlib.Path,
) -> None:
    results = {"short": noise(20, 1), "b": noise(2000, 2), "a": noise(300, 3)}
    folder = make_dataset(tmp_path / "out", results, LABELS, shard_clips=2)
    found = overview_of(folder)
    assert found["labels"] == [1, 0] and found["calendar"] is None
    data = found["recordings"]
    step = data["column_s"]
    assert step == pytest.approx(1000.5 / MAX_COLUMNS)
    assert [file[1:4] for file in data["files"]] == [
        ["a.wav", 150.5, 91],
        ["b.wav", 1000.5, 600],
    ]
    values = unpack(data["highest"]).reshape(2, 691)
    for name, begin in (("a", 0), ("b", 91)):
        middles = (np.arange(len(results[name].activations)) + 0.5) * HOP_S
        for column in (0, 1, 57, 89):
            mine = results[name].activations[np.floor(middles / step) == column]
            expected = coded(mine[:, [1, 0]].max(axis=0))
            assert values[:, begin + column].tolist() == expected.tolist()
    # There is audio until the end, also after the start of the last patch.
    assert values.all()
    chosen = overview_of(folder, recordings=1)["recordings"]
    assert [file[1] for file in chosen["files"]] == ["b.wav"]
    assert chosen["num_all"] == 2


def test_excerpts_of_a_file_are_one_recording(tmp_path: pathlib.Path) -> None:
    results = {"late": noise(100, 1), "early": noise(100, 2)}
    columns: dict[str, list[object]] = {"start_s": [300.0, 0.0], "end_s": [None, 50.5]}
    uris = ["/rec/a.wav"] * 2
    folder = make_dataset(tmp_path / "out", results, LABELS, columns, uris=uris)
    data = overview_of(folder)["recordings"]
    ((_, name, length_s, count, _, _),) = data["files"]
    assert (name, length_s, count) == ("a.wav", 350.5, 600)
    row = unpack(data["highest"]).reshape(2, 600)[0]
    has_audio = np.flatnonzero(row) * data["column_s"]
    assert ((has_audio < 50.5) | (has_audio > 299)).all()
    assert {*np.flatnonzero(np.diff(has_audio) > 200).tolist()} == {
        int((has_audio < 51).sum()) - 1
    }


@pytest.mark.parametrize("outputs", [("activations",), ("events",)])
def test_the_calendar_has_the_hours_of_the_recorder(
    tmp_path: pathlib.Path, outputs: tuple[str, ...]
) -> None:
    # Clocks go forward, a clip is not dated, and clocks go back.
    times = ["2024-03-31T01:59:00+01:00", None, "2024-10-27T02:50:00+02:00"]
    results = {name: noise(130, seed) for seed, name in enumerate("abc")}
    folder = make_dataset(
        tmp_path / "out",
        results,
        LABELS,
        {"recorded_at": times},
        outputs=outputs,
        events=EventSettings() if outputs == ("events",) else None,
    )
    found = overview_of(folder)
    data = found["calendar"]
    assert data["offsets"] == {"+01:00": 1, "+02:00": 1}
    assert dates(data["days"][0]) == ["2024-03-31", "2024-10-27"]
    shape = (2, len(found["labels"]), 96)
    highest = unpack(data["highest"]).reshape(len(found["labels"]), 2, 96)
    audio = unpack(data["audio"]).reshape(2, 96)
    # 1:59 to 2:00:05 on the clock of the first file; 11:55 minutes of the last one.
    assert [np.flatnonzero(day).tolist() for day in audio] == [[7, 8], [11]]
    decoded = (audio / 255) ** 2 * 900
    np.testing.assert_allclose(decoded[0, 7:9], [60, 5.5], atol=2)
    assert shape[1] == 2 and found["has_patches"] == (outputs == ("activations",))
    rain = results["a"].activations[:, 1]
    starts = (np.arange(130) + 0.5) * HOP_S
    if outputs == ("activations",):
        expected = [coded(rain[starts < 60].max()), coded(rain[starts >= 60].max())]
        assert highest[0, 0, 7:9].tolist() == [int(code) for code in expected]
    else:
        # Events only: the score of an event counts in all of its cells.
        assert highest[0, 0, 7] == coded(rain.max())
    assert (highest[:, audio == 0] == 0).all()
    shares = unpack(data["event_time"]).reshape(len(found["labels"]), 2, 96)
    total_s = ((shares[0] / 255) ** 2 * 900).sum()
    known_s = sum(seconds for seconds in found["event_s"][:1]) * 2 / 3
    assert total_s == pytest.approx(known_s, rel=0.15)


def test_a_ledger_without_times_is_read(tmp_path: pathlib.Path) -> None:
    folder = make_dataset(tmp_path / "out", {"a": noise(300, 1)}, LABELS)
    (path,) = (folder / "ledger").iterdir()
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["recorded_at", "recorded_at_source"]), path)
    found = overview_of(folder)
    assert found["calendar"] is None and len(found["recordings"]["files"]) == 1
    assert DAY_S == 24 * 3600
