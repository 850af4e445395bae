"""Rows of manifests that name parts of files."""

import json
import pathlib
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.main import main
from pipeline.errors import ConfigError
from pipeline.inputs import excerpts
from pipeline.inputs.read_inputs import read_inputs, read_sized_inputs
from tests.conftest import Command
from tests.support.audio_files import make_wav


def write(path: pathlib.Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def times_of(source: str) -> tuple[list[float | None], list[float | None]]:
    table = read_inputs([source])
    assert table["start_s"].type == table["end_s"].type == pa.float64()
    return table["start_s"].to_pylist(), table["end_s"].to_pylist()


@pytest.mark.parametrize(
    ("text", "starts", "ends", "said"),
    [
        (
            "uri,start_s,end_s\na,1,2.5\na,,3\na,4,\na, 0.50 ,1e1\na,NA,\n",
            [1, None, 4, 0.5, None],
            [2.5, 3, None, 10, None],
            'start_s from "start_s", end_s from "end_s"',
        ),
        ("uri,start_s\na,7\n", [7], [None], 'start_s from "start_s"'),
        ("uri,end_s\na,7\n", [None], [7], 'end_s from "end_s"'),
        ("uri,start_s\na,\n", [None], [None], 'start_s from "start_s"'),
        (
            "Begin Path,Begin Time (s),End Time (s),Low Freq (Hz)\na,-0.0,.25,100\n",
            [0],
            [0.25],
            'start_s from "Begin Time (s)", end_s from "End Time (s)"',
        ),
        (
            "Begin Path,Begin Time (s),End Time (s),File Offset (s)\n"
            "a,10.1,10.4,10.1\nb,70.1,70.4,10.1\nb,70.1,,10.1\n",
            [10.1, 10.1, 10.1],
            [10.4, 10.4, None],
            'start_s from "File Offset (s)", end_s from "File Offset (s)" + '
            '"End Time (s)" - "Begin Time (s)"',
        ),
        (
            "audio_filepath,offset,duration\na,0.1,0.2\na,,3\na,5,\n",
            [0.1, None, 5],
            [0.3, 3, None],
            'start_s from "offset", end_s from "offset" + "duration"',
        ),
        (
            "filename,onset,offset,duration,event_label\na,2,4,9,dog\n",
            [2],
            [4],
            'start_s from "onset", end_s from "offset"',
        ),
        (
            "uri,start_s,onset,offset\na,1,2,4\n",
            [1],
            [None],
            'start_s from "start_s"',
        ),
    ],
)
def test_times_are_read_from_the_columns_of_other_tools(
    tmp_path: pathlib.Path,
    text: str,
    starts: list[float | None],
    ends: list[float | None],
    said: str,
) -> None:
    header, *rows = text.splitlines()
    rows = [f"{row},{number}" for number, row in enumerate(rows)]
    source = write(tmp_path / "m.csv", "\n".join([f"{header},clip_id", *rows]))
    assert times_of(source) == (starts, ends)
    (line,) = read_sized_inputs([source]).excerpts
    assert line == f"{source}: clips are parts of files: {said}"


@pytest.mark.parametrize("name", ["duration", "offset", "onset", "Duration"])
def test_other_columns_of_times_are_ordinary(tmp_path: pathlib.Path, name: str) -> None:
    source = write(tmp_path / "m.csv", f"uri,{name}\na.wav,1\n")
    inputs = read_sized_inputs([source])
    assert inputs.table.column_names == ["clip_id", "uri", name]
    assert inputs.excerpts == ()


def test_columns_of_times_are_carried_as_they_are(tmp_path: pathlib.Path) -> None:
    source = write(tmp_path / "m.csv", "uri,onset,offset,end\na.wav,1,2.5,x\n")
    table = read_inputs([source])
    names = ["clip_id", "uri", "onset", "offset", "end", "start_s", "end_s"]
    assert table.column_names == names
    assert table.to_pylist()[0]["onset"] == 1
    assert table["onset"].type == pa.int64()


def test_times_are_numbers_of_any_type(tmp_path: pathlib.Path) -> None:
    for number, column in enumerate(
        [
            pa.array([1, None], pa.uint8()),
            pa.array([1, None], pa.float32()),
            pa.array([1, None], pa.decimal128(9, 3)),
            pa.array(["1.0", ""]),
            pa.array(["1", None], pa.large_string()),
        ]
    ):
        path = tmp_path / f"m{number}.parquet"
        table = pa.table({"uri": ["a", "b"], "start_s": column})
        pq.write_table(table, path)
        assert times_of(str(path)) == ([1, None], [None, None])
    lines = [{"uri": "a", "offset": 1, "duration": 2.5}, {"uri": "b", "duration": 2}]
    text = "\n".join(map(json.dumps, lines))
    assert times_of(write(tmp_path / "m.jsonl", text)) == ([1, None], [3.5, 2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uri,start_s\n\na,1\nb,x\n", "line 4: column start_s is 'x', expected a numb"),
        ("uri,start_s\na,-1\n", "line 2: column start_s is '-1', .* at least 0, or an"),
        ("uri,start_s\na,nan\n", "column start_s is 'nan', expected a number"),
        ("uri,end_s\na,inf\n", "column end_s is 'inf', expected a number"),
        ("uri,end_s\na,1e999\n", "column end_s is '1e999', expected"),
        ("uri,end_s\na,0:10\n", "column end_s is '0:10', expected"),
        ("uri,end_s\na,1_0\n", "column end_s is '1_0', expected"),
        ("uri,end_s\na,true\n", "column end_s is 'true', expected"),
        ('uri,end_s\na,"1,5"\n', "column end_s is '1,5', expected a decimal point; wr"),
        ("uri,end_s\na,0\n", "column end_s is 0, .* more than the start of the file;"),
        (
            "uri,onset,offset\na,1,2\na,3.50,3.5\n",
            "line 3: column offset is 3.5, expected more than onset, which is 3.5;",
        ),
        ("uri,offset,duration\na,3,0\n", "line 2: column duration is 0, expected more"),
        ("uri,offset,duration\na,3,-1\n", "line 2: column duration is '-1', expected"),
    ],
)
def test_wrong_times_are_refused(
    tmp_path: pathlib.Path, text: str, message: str
) -> None:
    source = write(tmp_path / "m.csv", text)
    with pytest.raises(ConfigError, match=f"manifest {source}, .*{message}"):
        read_inputs([source])


@pytest.mark.parametrize(
    ("value", "shown"),
    [(float("nan"), "nan"), (True, "True"), (b"1", "b'1'"), (float("-inf"), "-inf")],
)
def test_wrong_times_are_refused_in_parquet(
    tmp_path: pathlib.Path, value: object, shown: str
) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"uri": ["a"], "start_s": [value]}), path)
    with pytest.raises(ConfigError, match=f"row 1: column start_s is {shown}, expect"):
        read_inputs([str(path)])


def test_manifests_with_and_without_times_are_joined(tmp_path: pathlib.Path) -> None:
    first = write(tmp_path / "a1.csv", "uri,onset,offset\na.wav,1,2\n")
    write(tmp_path / "a2.csv", "uri,onset,offset\nb.wav,3,4\n")
    third = write(tmp_path / "b.tsv", "uri\tstart_s\nc.wav\t5\n")
    write(tmp_path / "d.wav", "x")
    inputs = read_sized_inputs([f"{tmp_path}/*"])
    assert inputs.table["start_s"].to_pylist() == [1, 3, 5, None]
    assert inputs.table["end_s"].to_pylist() == [2, 4, None, None]
    assert inputs.excerpts == (
        f"{first} and 1 more: clips are parts of files: "
        'start_s from "onset", end_s from "offset"',
        f'{third}: clips are parts of files: start_s from "start_s"',
    )


def test_default_clip_ids_have_the_times(tmp_path: pathlib.Path) -> None:
    rows = ["60,120", "0.1,0.30000000000000004", "1e-7,1e22", ",5", "5,", ","]
    text = "uri,start_s,end_s\n" + "".join(f"SITE_1.wav,{row}\n" for row in rows)
    ids = read_inputs([write(tmp_path / "m.csv", text)])["clip_id"].to_pylist()
    (whole,) = read_inputs([write(tmp_path / "SITE_1.wav", "")])["clip_id"].to_pylist()
    stem, digest = whole.rsplit("-", 1)
    assert (stem, len(digest)) == ("SITE_1", 12)
    assert ids == [
        f"SITE_1-60-120-{digest}",
        f"SITE_1-0.1-0.30000000000000004-{digest}",
        f"SITE_1-0.0000001-10000000000000000000000-{digest}",
        f"SITE_1-0-5-{digest}",
        f"SITE_1-5-end-{digest}",
        whole,
    ]


@given(times=st.lists(st.floats(0, 1e6), min_size=1, unique=True))
def test_times_in_clip_ids_are_exact(times: list[float]) -> None:
    texts = [excerpts.time_text(seconds) for seconds in times]
    assert [float(text) for text in texts] == times
    assert all(re.fullmatch(r"\d+(\.\d*[1-9])?", text) for text in texts)


def test_repeated_excerpts_are_listed_with_their_lines(tmp_path: pathlib.Path) -> None:
    text = "uri,onset,offset,label\na.wav,1,2,dog\na.wav,2,3,dog\na.wav,1,2.0,bark\n"
    source = write(tmp_path / "m.csv", text)
    with pytest.raises(ConfigError) as caught:
        read_inputs([source])
    assert "1 clip_ids are not unique" in str(caught.value)
    assert f"{source}, line 2 and {source}, line 4" in str(caught.value)


def test_run_and_dry_run_say_what_was_taken_for_times(
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_wav(tmp_path / "a.wav", 30000)
    text = "uri,onset,offset\na.wav,0,1\na.wav,1,1.2\n"
    source = write(tmp_path / "m.csv", text)
    line = ["extract", source, "--model", str(tiny_model), "--output"]
    line += [f"{tmp_path}/out"]
    text = 'm.csv: clips are parts of files: start_s from "onset", end_s from "offset"'
    assert main([*line, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.count(text) == 1
    assert " MB in 1 files, 0 files not found" in out
    assert "start_s (double), end_s (double)" in out
    assert fsdsinet(*line).stderr.count(text) == 1
