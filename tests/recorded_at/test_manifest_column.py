"""The column `recorded_at` of manifests."""

import datetime
import json
import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError
from pipeline.inputs.read_inputs import read_inputs
from transforms.manifest import write_plan

LOCAL = "2024-06-11T05:30:00"
# What a manifest has -> what is read.
CELLS: dict[str, str | None] = {
    LOCAL: LOCAL,
    "2024-06-11 05:30": LOCAL,
    f"{LOCAL}+02:00": f"{LOCAL}+02:00",
    f"{LOCAL}.5Z": f"{LOCAL}.500+00:00",
    "": None,
    "NA": None,
}


def read(path: pathlib.Path) -> list[Any]:
    return read_inputs([str(path)])["recorded_at"].to_pylist()


@pytest.mark.parametrize("separator", [",", "\t"])
def test_text_in_tables(separator: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / ("m.csv" if separator == "," else "m.tsv")
    lines = [f"{index}.wav{separator}{cell}" for index, cell in enumerate(CELLS)]
    path.write_text("\n".join([f"uri{separator}recorded_at", *lines]) + "\n")
    assert read(path) == [*CELLS.values()]
    # Also if Arrow could take all cells for times.
    path.write_text(f"uri{separator}recorded_at\na.wav{separator}{LOCAL}+02:00\n")
    assert read(path) == [f"{LOCAL}+02:00"]


def test_text_in_json_lines(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.jsonl"
    rows = [{"uri": "none.wav", "recorded_at": None}]
    rows += [{"uri": f"{i}.wav", "recorded_at": x} for i, x in enumerate(CELLS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read(path) == [None, *CELLS.values()]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.timestamp("s"), LOCAL),
        (pa.timestamp("ns"), f"{LOCAL}.123456"),
        (pa.timestamp("us", "UTC"), f"{LOCAL}.123456+00:00"),
        (pa.timestamp("ms", "Europe/Berlin"), "2024-06-11T07:30:00.123+02:00"),
    ],
)
def test_timestamps_in_parquet(
    kind: pa.TimestampType, expected: str, tmp_path: pathlib.Path
) -> None:
    time = datetime.datetime(2024, 6, 11, 5, 30, 0, 123456)
    values = pa.array([time, None], pa.timestamp("us")).cast(pa.int64())
    scale = {"s": 1e-6, "ms": 1e-3, "us": 1, "ns": 1e3}[kind.unit]
    numbers = [x and int(x * scale) for x in values.to_pylist()]
    table = pa.table({"uri": ["a", "b"], "recorded_at": pa.array(numbers).cast(kind)})
    pq.write_table(table, tmp_path / "m.parquet")
    assert read(tmp_path / "m.parquet") == [expected, None]


@pytest.mark.parametrize(
    "cell",
    ["2024-06-11", "11/06/2024 05:30", "dawn", "2024-02-30T05:30:00", "1718083800"],
)
def test_other_cells_are_refused_with_their_line(
    cell: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"uri,recorded_at\na.wav,\nb.wav,{cell}\n")
    message = f"line 3: column recorded_at is '{cell}', expected a date and a time"
    with pytest.raises(ConfigError, match=message):
        read(path)


def test_a_column_of_dates_is_refused(tmp_path: pathlib.Path) -> None:
    dates = pa.array([datetime.date(2024, 6, 11)])
    pq.write_table(
        pa.table({"uri": ["a"], "recorded_at": dates}), tmp_path / "m.parquet"
    )
    with pytest.raises(ConfigError, match="row 1: column recorded_at is '2024-06-11'"):
        read(tmp_path / "m.parquet")


def test_manifests_with_and_without_the_column_are_joined(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "a.csv").write_text(f"uri,recorded_at\na.wav,{LOCAL}\n")
    (tmp_path / "b.csv").write_text("uri\nb.wav\n")
    table = read_inputs([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    assert table["recorded_at"].to_pylist() == [LOCAL, None]


def test_a_plan_needs_the_column_as_text(tmp_path: pathlib.Path) -> None:
    times = pa.array([datetime.datetime(2024, 6, 11)])
    table = pa.table({"clip_id": ["a"], "uri": ["a.wav"], "recorded_at": times})
    with pytest.raises(ValueError, match="recorded_at is timestamp.*expected text"):
        write_plan([table], str(tmp_path / "plan.arrow"))
