"""The ledger has the start of recordings: files of recorders, through the command."""

import json
import pathlib
from typing import Any

import pytest

from tests.conftest import Command
from tests.support.audio_files import (
    add_chunks,
    audiomoth,
    guano,
    make_readable,
    make_wav,
)
from tests.support.datasets import assert_tidy, read

BERLIN = ("--timezone", "Europe/Berlin")
Row = tuple[str | None, str | None, list[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Recordings; the longest one takes 13 s."""
    folder = tmp_path_factory.mktemp("recordings")
    make_wav(folder / "SITE_20240611_053000.wav", 30_000)
    make_wav(folder / "SITE_20241027_023000.wav", 30_000)
    make_wav(folder / "5E90A4D4.wav", 30_000)
    make_wav(folder / "song.wav", 30_000)
    make_wav(folder / "19700101_000012.wav", 30_000)
    make_readable(folder, "flac.flac").rename(folder / "20240611T053000+1000_REC.flac")
    utc = make_wav(folder / "20240611_033000.WAV", 30_000)
    add_chunks(utc, [audiomoth("05:30:00 11/06/2024 (UTC+2)")])
    bat = make_wav(folder / "bat_20240611_053000.wav", 30_000)
    add_chunks(bat, after=[guano("2024-06-11T05:30:00.250-04:00")])
    other = make_wav(folder / "other_20240611_053000.wav", 30_000)
    add_chunks(other, after=[guano("2024-06-11T17:30:00")])
    long = make_wav(folder / "long_20240611_053000.wav", 22_050 * 13)
    moth = [audiomoth("05:30:00 11/06/2024 (UTC-3)")]
    add_chunks(long, moth, [guano("2024-06-12T05:30:00")])
    (folder / "text_20240611_053000.wav").write_text("this is no audio")
    return folder


# With --timezone Europe/Berlin.
EXPECTED: dict[str, Row] = {
    "SITE_20240611_053000.wav": ("2024-06-11T05:30:00+02:00", "name", []),
    "SITE_20241027_023000.wav": ("2024-10-27T02:30:00+02:00", "name", []),
    "5E90A4D4.wav": ("2020-04-10T16:54:44+00:00", "name", []),
    "song.wav": (None, None, []),
    "19700101_000012.wav": (None, None, ["clock_not_set"]),
    "20240611T053000+1000_REC.flac": ("2024-06-11T05:30:00+10:00", "name", []),
    "20240611_033000.WAV": ("2024-06-11T05:30:00+02:00", "comment", []),
    "bat_20240611_053000.wav": ("2024-06-11T05:30:00.250-04:00", "guano", []),
    "other_20240611_053000.wav": (
        "2024-06-11T17:30:00+02:00", "guano", ["times_differ"],
    ),
    "long_20240611_053000.wav": (
        "2024-06-12T05:30:00+02:00", "guano", ["times_differ"],
    ),
    "text_20240611_053000.wav": ("2024-06-11T05:30:00+02:00", "name", []),
}  # fmt: skip


def rows_of(output: pathlib.Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read(output, "ledger").to_pylist()
    return rows


def times_of(output: pathlib.Path) -> dict[str, Row]:
    return {
        pathlib.Path(row["uri"]).name: (
            row["recorded_at"],
            row["recorded_at_source"],
            row["flags"],
        )
        for row in rows_of(output)
    }


@pytest.mark.slow
def test_every_recording_of_a_folder(
    folder: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    whole, output = tmp_path / "whole", tmp_path / "out"
    start = ["extract", folder, "--model", tiny_model, "--workers", "2", *BERLIN]
    fsdsinet(*start, "--output", whole)
    assert times_of(whole) == EXPECTED
    # The long recording in segments.
    options = ["--long-clip", "6", "--patch-hop", "5"]
    fsdsinet(*start, "--output", output, *options)
    assert times_of(output) == EXPECTED
    assert_tidy(output)
    # In another zone, and without the names.
    options += ["--time-from", "guano,comment", "--overwrite", "--timezone", "UTC"]
    fsdsinet(*start[:-2], "--output", output, *options)
    found = times_of(output)
    assert found["bat_20240611_053000.wav"] == EXPECTED["bat_20240611_053000.wav"]
    assert found["SITE_20240611_053000.wav"] == (None, None, [])
    long = ("2024-06-12T05:30:00+00:00", "guano", ["times_differ"])
    assert found["long_20240611_053000.wav"] == long


def test_excerpts_with_and_without_a_column(
    folder: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    manifest, output = folder / f"{tmp_path.name}.csv", tmp_path / "out"
    lines = [
        "clip_id,uri,start_s,end_s,recorded_at,site",
        "long-0,long_20240611_053000.wav,0,2,,A",
        "long-8,long_20240611_053000.wav,8,10,,A",
        "song,song.wav,0,1,2024-06-11 05:30,B",
        "bat,bat_20240611_053000.wav,,,2024-06-11T09:30:00Z,B",
        "outside,SITE_20240611_053000.wav,90,91,,B",
        "missing,none_20240611_053000.wav,0,1,,B",
    ]
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    arguments = ["extract", manifest, "--model", tiny_model, "--output", output]
    fsdsinet(*arguments)
    rows = {row["clip_id"]: row for row in rows_of(output)}
    assert [*rows["song"]][-3:] == ["start_s", "end_s", "site"]
    times = {k: (r["recorded_at"], r["recorded_at_source"]) for k, r in rows.items()}
    assert times == {
        # That of the file, not of the excerpt.
        "long-0": ("2024-06-12T05:30:00", "guano"),
        "long-8": ("2024-06-12T05:30:00", "guano"),
        "song": ("2024-06-11T05:30:00", "column"),
        "bat": ("2024-06-11T09:30:00+00:00", "column"),
        "outside": ("2024-06-11T05:30:00", "name"),
        "missing": ("2024-06-11T05:30:00", "name"),
    }
    assert rows["bat"]["flags"] == []
    # A run that continues gives new rows the zone, and says that the others have none.
    lines.append("new,song.wav,0,1,2024-01-11 05:30,B")
    manifest.write_text("\n".join(lines) + "\n")
    said = fsdsinet(*arguments, *BERLIN).stderr
    assert "rows that are done keep their recorded_at, found with --time-from" in said
    new = {row["clip_id"]: row["recorded_at"] for row in rows_of(output)}
    assert new.pop("new") == "2024-01-11T05:30:00+01:00"
    assert new == {clip_id: time for clip_id, (time, _) in times.items()}
    config = json.loads((output / "run.json").read_text())["config"]
    assert config["timezone"] == BERLIN[1]
    # A time that changed is refused.
    manifest.write_text("\n".join(lines).replace("09:30:00Z", "09:31:00Z") + "\n")
    said = fsdsinet(*arguments, code=2).stderr
    assert "recorded_at of clip 'bat': was 2024-06-11T09:30:00+00:00" in said


def test_a_manifest_has_no_new_columns(
    folder: pathlib.Path, tmp_path: pathlib.Path, fsdsinet: Command
) -> None:
    fsdsinet("manifest", folder, "--output", tmp_path / "m.csv")
    header = (tmp_path / "m.csv").read_text().splitlines()[0]
    assert "recorded" not in header


def test_an_unknown_zone_is_refused_before_anything_starts(
    folder: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    arguments = ["extract", folder, "--model", tiny_model, "--output", tmp_path / "out"]
    said = fsdsinet(*arguments, "--timezone", "Europe/Berlim", code=2).stderr
    assert "did you mean Europe/Berlin?" in said
    assert not (tmp_path / "out").exists()
