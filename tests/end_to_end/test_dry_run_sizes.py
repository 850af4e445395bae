"""A dry run says what the tables will take."""

import pathlib
import re

import pyarrow.parquet as pq
import pytest

from pipeline.cli.main import main
from tests.support.audio_files import make_wav

ALL = "activations,embeddings"


def predicted(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> dict[str, tuple[float, int, int]]:
    """MB, rows and bytes of a row, by table."""
    assert main([*arguments, "--dry-run"]) == 0
    pattern = (
        r"^(patches|clips): about ([\d.,]+) MB for ([\d,]+) rows? of ([\d,]+) bytes$"
    )
    found = re.findall(pattern, capsys.readouterr().out, re.MULTILINE)
    numbers = [(t, *(float(x.replace(",", "")) for x in rest)) for t, *rest in found]
    return {table: (mb, int(rows), int(size)) for table, mb, rows, size in numbers}


def test_sizes_are_near_those_of_the_dataset(
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in").mkdir()
    for index in range(6):
        make_wav(tmp_path / "in" / f"{index}.wav", 30 * 44_100, 44_100, seed=index)
    output = tmp_path / "out"
    arguments = ["extract", str(tmp_path / "in"), "--model", str(tiny_model)]
    arguments += ["--output", str(output)]
    sizes = predicted(arguments, capsys)
    assert main([*arguments, "--workers", "1"]) == 0
    for table, (mb, rows, _) in sizes.items():
        files = [*(output / table).rglob("*.parquet")]
        assert abs(sum(pq.read_metadata(f).num_rows for f in files) - rows) <= 6
        actual = 0
        for file in files:
            metadata = pq.read_metadata(file)
            for group in map(metadata.row_group, range(metadata.num_row_groups)):
                columns = map(group.column, range(group.num_columns))
                actual += sum(c.total_compressed_size for c in columns)
        # Rounding to 0.01 MB, and the other columns, count for much in six clips.
        assert abs(actual / 1e6 - mb) <= 0.2 * mb + 0.02, table
    assert set(sizes) == {"patches", "clips"}


@pytest.mark.parametrize(
    ("outputs", "tables"),
    [
        ("activations", {"clips": 1_600, "patches": 800}),
        ("events", {"clips": 1_600}),
    ],
)
def test_only_what_is_stored_is_counted(
    outputs: str,
    tables: dict[str, int],
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in").mkdir()
    make_wav(tmp_path / "in" / "a.wav", 44_100)
    arguments = ["extract", str(tmp_path / "in"), "--model", str(tiny_model)]
    arguments += ["--output", str(tmp_path / "out"), "--outputs", outputs]
    found = predicted(arguments, capsys)
    assert {table: size for table, (_, _, size) in found.items()} == tables
