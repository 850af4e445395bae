"""Excerpts of files have the results of the same samples in files of their own."""

import csv
import pathlib

import pyarrow as pa
import pytest
import soundfile

from tests.conftest import Command
from tests.support.audio_files import make_readable
from tests.support.datasets import MODEL, assert_tidy, read
from transforms.decoding.ffmpeg import decode_file

RATE_HZ = 44100
SECONDS = 31


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("recordings")
    for name in ("flac.flac", "mp3_44k.mp3"):
        make_readable(folder, name, seconds=SECONDS)
    return folder


def cut_out(manifest: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Writes every excerpt of a manifest to a file; returns a manifest of the files."""
    rows = ["clip_id,uri"]
    with open(manifest, encoding="utf-8", newline="") as file:
        for index, row in enumerate(csv.DictReader(file)):
            with open(manifest.parent / row["uri"], "rb") as audio:
                samples = decode_file("a", audio).samples
            stop = round(float(row["end_s"]) * RATE_HZ) if row["end_s"] else None
            part = samples[round(float(row["start_s"]) * RATE_HZ) : stop]
            soundfile.write(folder / f"{index}.wav", part, RATE_HZ, "FLOAT")
            rows.append(f"{row['clip_id']},{index}.wav")
    (folder / "cut.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "cut.csv"


def without_times_in_file(table: pa.Table) -> pa.Table:
    return table.drop_columns(["file_start_s", "file_end_s"])


def test_consecutive_excerpts_equal_files_that_were_cut_out(
    folder: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    manifest = folder / "excerpts.csv"
    said = fsdsinet("manifest", folder / "*.*3", folder / "*.flac", "--cut", "7",
                    "--overlap", "1.5", "--output", manifest).stdout  # fmt: skip
    assert "of 2 files" in said
    outputs = tmp_path / "excerpts", tmp_path / "files"
    sources = manifest, cut_out(manifest, tmp_path)
    for source, output in zip(sources, outputs, strict=True):
        fsdsinet("extract", source, "--model", tiny_model, "--output", output)
        assert_tidy(output)
    excerpts, files = (read(output, f"patches/model={MODEL}") for output in outputs)
    assert without_times_in_file(excerpts).equals(files)
    starts = excerpts["file_start_s"].to_pylist()
    assert min(starts) == 0 and SECONDS - 7 < max(starts) < SECONDS
    clips, others = (read(output, f"clips/model={MODEL}") for output in outputs)
    assert clips.equals(others)
    ledger, other = (read(output, "ledger") for output in outputs)
    assert ledger["flags"].equals(other["flags"])
    assert ledger["duration_s"].equals(other["duration_s"])
    assert set(ledger["status"].to_pylist()) == {"ok"}


def test_times_outside_of_the_file(
    folder: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    manifest = folder / "raven.tsv"
    manifest.write_text(
        "clip_id\tfilename\tBegin Time (s)\tEnd Time (s)\n"
        "inside\tflac.flac\t1\t2.5\n"
        "end\tflac.flac\t30\t33\n"
        "outside\tflac.flac\t40\t41\n",
        encoding="utf-8",
    )
    result = fsdsinet("extract", manifest, "--model", tiny_model,
                      "--output", tmp_path / "out")  # fmt: skip
    assert 'start_s from "Begin Time (s)"' in result.stderr
    rows = {row["clip_id"]: row for row in read(tmp_path / "out", "ledger").to_pylist()}
    assert rows["inside"]["flags"] == []
    assert rows["end"]["flags"] == ["truncated"]
    assert rows["outside"]["error_type"] == "outside_file"
    assert "begins at 40 s, and the file ends at 31 s" in rows["outside"]["error"]
    assert (rows["end"]["start_s"], rows["end"]["end_s"]) == (30, 33)
