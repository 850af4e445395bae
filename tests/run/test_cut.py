"""`fsdsinet manifest --cut` writes consecutive excerpts of recordings."""

import io
import pathlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.main import main
from pipeline.inputs.clip_ids import default_clip_id
from pipeline.inputs.cut import Length, excerpts_of, measure
from pipeline.inputs.read_inputs import read_inputs
from tests.support.audio_files import READABLE, make_readable, make_wav
from transforms.decoding.ffmpeg import decode_file


def cut(tmp_path: pathlib.Path, *options: str) -> list[dict[str, object]]:
    target = str(tmp_path / "m.csv")
    assert main(["manifest", str(tmp_path / "in"), "--output", target, *options]) == 0
    return read_inputs([target]).to_pylist()


def times(rows: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(row["start_s"], row["end_s"]) for row in rows]


@pytest.fixture
def corpus(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def test_the_last_excerpt_of_a_file_is_shorter_and_has_no_end(
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, num_samples in {"a": 22050, "b": 22051, "c": 22049, "d": 5}.items():
        make_wav(corpus / f"{name}.wav", num_samples)
    rows = cut(tmp_path, "--cut", "0.5")
    assert times(rows) == [
        *[(0, 0.5), (0.5, None)],
        *[(0, 0.5), (0.5, 1), (1, None)],
        *[(0, 0.5), (0.5, None)],
        (0, None),
    ]
    assert f"8 clips of 4 files: {tmp_path}/m.csv" in capsys.readouterr().out
    assert rows[0]["clip_id"] == default_clip_id(str(corpus / "a.wav"), 0, 0.5)
    assert rows[1]["clip_id"] == default_clip_id(str(corpus / "a.wav"), 0.5)
    names = ["clip_id", "uri", "size_bytes", "modified", "start_s", "end_s"]
    assert [*rows[0]] == names


def test_excerpts_overlap(tmp_path: pathlib.Path, corpus: pathlib.Path) -> None:
    make_wav(corpus / "a.wav", 22050)
    rows = cut(tmp_path, "--cut", "0.4", "--overlap", "0.1")
    assert times(rows) == [(0, 0.4), (0.3, 0.7), (0.6, None)]


@given(
    duration_s=st.floats(0.001, 1000),
    cut_s=st.floats(1, 100),
    overlap=st.floats(0, 0.9),
    slack_s=st.floats(0, 0.5),
)
def test_excerpts_cover_the_file(
    duration_s: float, cut_s: float, overlap: float, slack_s: float
) -> None:
    found = excerpts_of(Length(duration_s, 44100, slack_s), cut_s, overlap * cut_s)
    starts = [start or 0.0 for start, _ in found]
    ends = [duration_s if end is None else end for _, end in found]
    assert starts[0] == 0 and found[-1][1] is None
    assert starts == sorted({*starts})
    assert len(found) == 1 or starts[-1] < duration_s - slack_s
    steps = zip(starts[1:], ends[:-1], strict=True)
    assert all(end - overlap * cut_s == pytest.approx(start) for start, end in steps)
    assert ends[-1] - starts[-1] <= cut_s + slack_s + 1e-9


def test_times_are_exact_decimal_numbers() -> None:
    found = excerpts_of(Length(360, 44100), 0.1, 0)
    assert found[3] == (0.3, 0.4) and found[-1] == (359.9, None)
    assert len(found) == 3600


@pytest.mark.parametrize("name", READABLE)
def test_measured_lengths_are_those_of_the_decoded_audio(
    tmp_path: pathlib.Path, name: str
) -> None:
    path = make_readable(tmp_path, name)
    with path.open("rb") as file:
        decoded = decode_file("clip", file)
    decoded_s = len(decoded.samples) / decoded.sample_rate_hz
    with path.open("rb") as file:
        length = measure(file)
    assert length.sample_rate_hz == decoded.sample_rate_hz
    if length.slack_s:
        assert decoded_s == pytest.approx(length.duration_s, abs=length.slack_s)
    else:
        assert decoded_s == pytest.approx(length.duration_s, abs=1e-9)


@pytest.mark.parametrize("stated", [0, 10_000_000, 0xFFFFFFFF])
def test_wrong_sizes_in_headers_do_not_count(
    tmp_path: pathlib.Path, stated: int
) -> None:
    content = make_wav(tmp_path / "a.wav", 22050).read_bytes()
    place = content.index(b"data") + 4
    content = content[:place] + struct.pack("<I", stated) + content[place + 4 :]
    decoded = decode_file("clip", io.BytesIO(content))
    assert measure(io.BytesIO(content)) == Length(len(decoded.samples) / 22050, 22050)


def test_a_file_that_cannot_be_read_has_one_row(
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (corpus / "a.mp3").write_bytes(np.random.default_rng(0).bytes(3000))
    (corpus / "b.wav").write_bytes(b"")
    (corpus / "c.wav").symlink_to(corpus / "gone.wav")
    make_wav(corpus / "d.wav", 22050)
    rows = cut(tmp_path, "--cut", "1")
    assert times(rows) == [(None, None)] * 3 + [(0, None)]
    assert rows[0]["clip_id"] == default_clip_id(str(corpus / "a.mp3"))
    output = capsys.readouterr()
    assert "3 files cannot be read, so that the length is not known" in output.err
    assert all(f"  {corpus}/{name}: " in output.err for name in ("a.mp3", "b.wav"))
    assert f"{corpus}/c.wav: no such file" in output.err
    assert "Errno" not in output.err
    assert "4 clips of 4 files" in output.out


def test_own_clip_ids_and_columns_are_kept(
    tmp_path: pathlib.Path, corpus: pathlib.Path
) -> None:
    make_wav(corpus / "a.wav", 30000)
    source, target = tmp_path / "own.csv", tmp_path / "m.parquet"
    source.write_text("uri,clip_id,site,duration\nin/a.wav,007,north,9\n")
    line = ["manifest", str(source), "--output", str(target), "--cut", "1"]
    assert main(line) == 0
    rows = read_inputs([str(target)]).to_pylist()
    assert [row["clip_id"] for row in rows] == ["007-0-1", "007-1-end"]
    assert [(row["site"], row["duration"]) for row in rows] == [("north", 9)] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cut", "0"], "cut is 0 s, expected more than 0"),
        (["--cut", "nan"], "cut is nan s, expected more than 0"),
        (["--cut", "inf"], "cut is inf s, expected more than 0"),
        (
            ["--cut", "5", "--overlap", "5"],
            "overlap is 5 s, expected at least 0 and le",
        ),
        (["--cut", "5", "--overlap", "-1"], "overlap is -1 s, expected at least 0"),
        (["--overlap", "1"], "--overlap is given without --cut"),
    ],
)
def test_wrong_lengths_are_refused(
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_wav(corpus / "a.wav", 30000)
    line = ["manifest", str(corpus), "--output", str(tmp_path / "m.csv")]
    assert main([*line, *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m.csv").exists()


def test_excerpts_are_not_cut(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.csv").write_text("uri,onset,offset\na.wav,1,2\n")
    line = ["manifest", f"{tmp_path}/m.csv", "--output", f"{tmp_path}/n.csv"]
    assert main([*line, "--cut", "60"]) == 2
    assert "names parts of files already" in capsys.readouterr().err
