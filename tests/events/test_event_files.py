"""fsdsinet events: times of clips and excerpts, and the formats of other programs."""

import csv
import io
import json
import pathlib
import wave
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.cli.main import main
from pipeline.dataset.snapshot import Snapshot
from pipeline.errors import ConfigError
from pipeline.results.events.event_table import read_event_table
from pipeline.results.plots import event_spans
from tests.support.audio_files import make_readable
from tests.support.made_dataset import make_dataset, scored
from transforms.decoding.excerpts import ExcerptReader
from transforms.events.settings import EventSettings
from transforms.schemas import PATCH_DURATION_S

LABELS = ("Dog", "Rain", "Bark")
HOP_S = 50 * 220 / 22050
# Activations of Dog, Rain and Bark. The clips last 1 s, and 0.5 s more for each patch
# after the first.
B_PATCHES = [[0.9, 0.1, 0], [0.7, 0, 0], [0.1, 0.6, 0], [0, 0.8, 0.55]]
RESULTS = {
    "b": scored(B_PATCHES, [[1.0, 0.0]] * 4),
    "quiet": scored([[0.1, 0.2, 0.3]]),
    "a": scored([[0.2, 0.95, 0]]),
    "failed": None,
}
Row = dict[str, str]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("events") / "out"
    uris = ["/rec/x/b.wav", "/rec/x/quiet.wav", "/rec/a.wav", "/rec/failed.wav"]
    return make_dataset(folder, RESULTS, LABELS, shard_clips=2, uris=uris)


def run(output: pathlib.Path, path: pathlib.Path, *options: str) -> str:
    """Runs the command and returns the text of the file."""
    assert main(["events", str(output), "--output", str(path), *options]) == 0
    return path.read_text(encoding="utf-8")


def rows_of(text: str, delimiter: str = ",") -> list[Row]:
    return [*csv.DictReader(io.StringIO(text), delimiter=delimiter)]


def spans(rows: list[Row]) -> list[tuple[str, str, float, float]]:
    return [
        (r["clip_id"], r["label"], float(r["start_s"]), float(r["end_s"])) for r in rows
    ]


def near(seconds: float) -> object:
    return pytest.approx(seconds, abs=1e-6)


def test_events_are_sorted_by_recording_and_time(
    output: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(run(output, tmp_path / "e.csv"))
    assert spans(rows) == [
        ("a", "Rain", 0, 1.0),
        ("b", "Dog", 0, near(HOP_S + PATCH_DURATION_S)),
        ("b", "Rain", near(2 * HOP_S), 2.5),
        ("b", "Bark", near(3 * HOP_S), 2.5),
    ]
    assert [r["score_max"] for r in rows] == ["0.95", "0.9", "0.8", "0.55"]
    assert [r["score_mean"] for r in rows] == ["0.95", "0.8", "0.7", "0.55"]
    assert [r["num_patches"] for r in rows] == ["1", "2", "2", "1"]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "4 events of 3 labels in 3 clips, model made"
    assert "  Dog: 1 event, 2 s" in said
    assert said[-1] == f"written to {tmp_path / 'e.csv'}"


def test_all_options_reach_the_search(
    output: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    thresholds = tmp_path / "t.csv"
    thresholds.write_text("label,low,threshold,comment\nDog,0.05,0.85,x\nBark,,0.5,\n")
    options = ["--thresholds", str(thresholds), "--bounds", "hop", "--leaves"]
    rows = rows_of(run(output, tmp_path / "e.csv", *options))
    margin_s = (PATCH_DURATION_S - HOP_S) / 2
    assert spans(rows) == [
        ("b", "Dog", 0, near(2 * HOP_S + PATCH_DURATION_S - margin_s)),
        ("b", "Bark", near(3 * HOP_S + margin_s), 2.5),
    ]
    options = ["--label", "Rain", "--threshold", "0.05", "--smooth", "1.5"]
    options += ["--min-duration", "1.01", "--merge-gap", "1", "--low", "0.04"]
    (row,) = rows_of(run(output, tmp_path / "e.csv", *options))
    assert (row["clip_id"], row["label"], row["num_patches"]) == ("b", "Rain", "4")


def test_leaves_hides_what_a_more_special_label_says(
    output: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    options = ["--threshold", "0.05", "--leaves"]
    found = spans(rows_of(run(output, tmp_path / "e.csv", *options)))
    # With the bounds `hop` of the other test, Dog ends where Bark begins.
    assert ("b", "Bark", near(3 * HOP_S), 2.5) in found
    assert [row[1] for row in found if row[0] == "b"] == ["Rain", "Bark"]


def test_parquet_has_all_digits(output: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "e.parquet"
    assert main(["events", str(output), "--output", str(path)]) == 0
    table = pq.read_table(path)
    assert table["start_s"].to_pylist() == [p * 50 * 220 / 22050 for p in (0, 0, 2, 3)]
    assert table["score_max"].to_numpy().dtype == np.float32
    assert pd.read_parquet(path)["uri"][0] == "/rec/a.wav"


def test_raven_gets_cumulative_times_or_a_table_for_every_recording(
    output: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(run(output, tmp_path / "all.selections.txt"), "\t")
    # Column names of Raven Pro's selection tables.
    assert [*rows[0]][:7] == [
        *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)"),
        *("Low Freq (Hz)", "High Freq (Hz)"),
    ]
    assert [r["Selection"] for r in rows] == ["1", "2", "3", "4"]
    # a.wav lasts 1 s, failed.wav has no known length, and x/b.wav follows.
    assert [float(r["Begin Time (s)"]) for r in rows] == [
        near(t) for t in (0, 1, 1 + 2 * HOP_S, 1 + 3 * HOP_S)
    ]
    assert [float(r["End Time (s)"]) for r in rows][2:] == [near(3.5), near(3.5)]
    assert [r["File Offset (s)"] for r in rows][:2] == ["0.000000", "0.000000"]
    assert [r["Begin File"] for r in rows] == ["a.wav", "b.wav", "b.wav", "b.wav"]
    assert {r["High Freq (Hz)"] for r in rows} == {"11025"}
    folder = tmp_path / "tables"
    options = ["--output", f"{folder}/", "--format", "raven"]
    assert main(["events", str(output), *options]) == 0
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.txt")) == [
        "a.Table.1.selections.txt",
        "x/b.Table.1.selections.txt",
    ]
    text = (folder / "x/b.Table.1.selections.txt").read_text()
    found = [(r["Begin Time (s)"], r["Label"]) for r in rows_of(text, "\t")]
    assert found[0] == ("0.000000", "Dog") and found[1][1] == "Rain"
    assert "also has" not in capsys.readouterr().out
    assert main(["events", str(output), *options, "--threshold", "1"]) == 0
    assert "the folder also has 2 such files that" in capsys.readouterr().out


def test_audacity_gets_a_file_for_every_recording(
    output: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["events", str(output), "--format", "audacity", "--output"]
    assert main([*command, f"{tmp_path}/labels"]) == 0
    assert (tmp_path / "labels/a.txt").read_text() == "0.000000\t1.000000\tRain\n"
    lines = (tmp_path / "labels/x/b.txt").read_text().splitlines()
    assert [line.split("\t")[2] for line in lines] == ["Dog", "Rain", "Bark"]
    assert main([*command, f"{tmp_path}/labels.txt"]) == 2
    assert "there are 2; give a folder" in capsys.readouterr().err
    one = [f"{tmp_path}/rain.txt", "--label", "Rain", "--threshold", "0.9"]
    assert main([*command, *one]) == 0
    assert (tmp_path / "rain.txt").read_text() == "0.000000\t1.000000\tRain\n"


def test_json_has_every_clip_with_results(
    output: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    found = json.loads(run(output, tmp_path / "e.json"))
    assert [*found] == ["a", "b", "quiet"] and found["quiet"] == []
    expected = {"name": "Rain", "start_time": 0.0, "end_time": 1.0, "confidence": 0.95}
    assert found["a"] == [expected]
    assert [event["name"] for event in found["b"]] == ["Dog", "Rain", "Bark"]


@pytest.mark.parametrize(
    "name", ["e.csv", "e.parquet", "e.json", "e.selections.txt", "e.txt"]
)
def test_no_events_leave_a_file_without_rows(
    output: pathlib.Path, tmp_path: pathlib.Path, name: str
) -> None:
    options = ["--threshold", "1", *(["--format", "raven"] * name.endswith("e.txt"))]
    path = tmp_path / name
    assert main(["events", str(output), "--output", str(path), *options]) == 0
    if name == "e.parquet":
        assert pq.read_table(path).num_rows == 0
    elif name == "e.json":
        assert [*json.loads(path.read_text()).values()] == [[], [], []]
    else:
        assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to write; give --output FILE or --cut FOLDER"),
        (["--output", "e.txt"], "cannot tell the format of 'e.txt'; name it .parquet"),
        (["--output", "e/", "--format", "csv"], "csv is one file, and 'e/' names a"),
        (["--output", "e.csv", "--label", "Bork"], "'Bork'; did you mean Bark?"),
        (["--output", "e.csv", "--threshold", "2"], "threshold is 2, expected 0 to 1"),
        (["--output", "e.csv", "--low", "0.7"], "low is 0.7, expected at most the thr"),
        (["--output", "e.csv", "--smooth=-1"], "smooth is -1 s, expected 0 or more"),
        (["--output", "e.csv", "--thresholds", "t.csv"], "cannot read thresholds"),
        (["--output", "e.csv", "--top", "10"], "--top has no effect without --cut; gi"),
        (["--output", "e.csv", "--padding", "0"], "--padding has no effect without --"),
        (["--cut", "c", "--format", "csv"], "--format has no effect without --output"),
        (["--cut", "c", "--top", "0"], "top is 0, expected 1 or more"),
        (["--cut", "c", "--padding", "-1"], "padding is -1 s, expected 0 or more"),
    ],
)
def test_mistakes_are_explained(
    output: pathlib.Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["events", str(output), *options]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,limit\nDog,0.5\n", "the columns are label, limit; expected label, thr"),
        ("label,threshold\n", "there are no thresholds"),
        ("label,threshold\nDog,half\n", "line 2, 'Dog': could not convert string"),
        ("label,threshold\nDog\n", "line 2, 'Dog'"),
        ("label,threshold\nDog,1.5\n", "line 2, 'Dog': threshold is 1.5, expected 0 t"),
        ("label,threshold,low\nDog,0.5,0.6\n", "low is 0.6, expected at most the thr"),
        ("label,threshold\nDog,0.5\nDog,0.6\n", "line 3, 'Dog' is there twice"),
        ("label,threshold\nDug,0.5\n", "there is no label 'Dug'; did you mean Dog?"),
    ],
)
def test_wrong_thresholds_are_explained(
    output: pathlib.Path,
    tmp_path: pathlib.Path,
    text: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    options = ["--thresholds", str(path), "--output", str(tmp_path / "e.csv")]
    assert main(["events", str(output), *options]) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said


def test_events_of_excerpts_have_times_in_the_file(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {"late": RESULTS["b"], "early": RESULTS["a"]}
    columns: dict[str, Sequence[object]] = {
        "start_s": [3600.0, None],
        "end_s": [3602.5, 1.0],
    }
    uris = ["/rec/long.wav"] * 2
    folder = make_dataset(tmp_path / "out", results, LABELS, columns, uris=uris)
    rows = rows_of(run(folder, tmp_path / "e.csv", "--label", "Rain"))
    assert spans(rows) == [
        ("early", "Rain", 0, 1.0),
        ("late", "Rain", near(3600 + 2 * HOP_S), 3602.5),
    ]
    capsys.readouterr()
    path = str(tmp_path / "all.selections.txt")
    assert main(["events", str(folder), "--output", path]) == 2
    assert "the clips are parts of files" in capsys.readouterr().err


def test_events_have_the_time_of_day(tmp_path: pathlib.Path) -> None:
    results = {name: RESULTS["b"] for name in ("zone", "local", "unknown")}
    columns: dict[str, Sequence[object]] = {
        "start_s": [3600.0, 0.0, 0.0],
        "recorded_at": ["2023-12-31T22:59:59.500+01:00", "2024-06-11T05:30:00", None],
    }
    folder = make_dataset(tmp_path / "out", results, LABELS, columns)
    rows = rows_of(run(folder, tmp_path / "e.csv", "--label", "Bark"))
    # Bark begins 1.497 s after the start of each clip, which ends after 2.5 s.
    assert [(r["clip_id"], r["start_time"], r["end_time"]) for r in rows] == [
        ("local", "2024-06-11T05:30:01.497", "2024-06-11T05:30:02.500"),
        ("unknown", "", ""),
        ("zone", "2024-01-01T00:00:00.997+01:00", "2024-01-01T00:00:02.000+01:00"),
    ]


def test_no_events_leave_no_file_in_a_folder(
    output: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("raven", "audacity"):
        options = ["--format", kind, "--output", f"{tmp_path}/{kind}/"]
        assert main(["events", str(output), *options, "--threshold", "1"]) == 0
        assert "no file is written" in capsys.readouterr().out
        assert not (tmp_path / kind).exists()


def test_odd_file_names_stay_one_cell_in_raven(tmp_path: pathlib.Path) -> None:
    uris = ["/rec/tab\tand\nbreak.wav"]
    folder = make_dataset(tmp_path / "out", {"a": RESULTS["a"]}, LABELS, uris=uris)
    (row,) = rows_of(run(folder, tmp_path / "e.selections.txt"), "\t")
    assert row["Begin File"] == "tab and break.wav" and row["Label"] == "Rain"


def test_stored_events_are_read_unless_there_are_other_settings(
    tmp_path: pathlib.Path,
) -> None:
    folder = make_dataset(
        tmp_path / "out",
        {"b": RESULTS["b"]},
        LABELS,
        outputs=("activations", "embeddings", "events"),
        events=EventSettings(0.85),
    )
    path = tmp_path / "e.csv"
    assert [r["label"] for r in rows_of(run(folder, path))] == ["Dog"]
    assert rows_of(run(folder, path, "--label", "Rain")) == []
    found = rows_of(run(folder, path, "--threshold", "0.75"))
    assert [r["label"] for r in found] == ["Dog", "Rain"]


def test_plot_draws_events_of_excerpts_at_their_place(tmp_path: pathlib.Path) -> None:
    columns: dict[str, Sequence[object]] = {"start_s": [60.0, 0.0]}
    uris = ["/rec/long.wav"] * 2
    results = {"late": RESULTS["b"], "early": RESULTS["a"]}
    folder = make_dataset(tmp_path / "out", results, LABELS, columns, uris=uris)
    for name in ("e.csv", "e.parquet"):
        path = str(tmp_path / name)
        assert main(["events", str(folder), "--output", path]) == 0
        snapshot = Snapshot(str(folder), None)
        (spans,) = event_spans(snapshot, ["late"], read_event_table(path)).values()
        assert [*spans] == ["Dog", "Rain", "Bark"]
        assert spans["Rain"] == [(near(2 * HOP_S), near(2.5))]
    picture = tmp_path / "p.png"
    options = ["--clip", "late", "--events", path, "--output", str(picture)]
    assert main(["plot", str(folder), *options]) == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "uri,label,start_s\n",
            "has the columns uri, label, start_s; expected clip_id",
        ),
        ("label,start_s,end_s\nx,1,2\n", "has the columns label, start_s, end_s; exp"),
        ("uri,label,start_s,end_s\na,x,1,two\n", "column end_s: "),
        ("uri,label,start_s,end_s\na,x,1,2\na,x,3,2\n", "row 2: start_s is 3.0, end"),
        ("uri,label,start_s,end_s\na,x,,2\n", "row 1: start_s is None, end_s is 2"),
        ("", "cannot read events"),
    ],
)
def test_wrong_tables_of_events_are_explained(
    tmp_path: pathlib.Path, text: str, message: str
) -> None:
    path = tmp_path / "e.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_event_table(str(path))


def test_cut_events_are_the_samples_of_the_recording(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make_readable(tmp_path, "pcm16_11k.wav", seconds=3)
    results = {"b": RESULTS["b"], "gone": RESULTS["a"]}
    uris = [str(source), str(tmp_path / "gone.wav")]
    folder = make_dataset(tmp_path / "out", results, LABELS, uris=uris)
    cut = tmp_path / "cut"
    options = ["--cut", str(cut), "--top", "1", "--padding", "0.25"]
    assert main(["events", str(folder), *options, "--label", "Dog"]) == 0
    (row,) = rows_of((cut / "events.csv").read_text())
    assert (row["uri"], row["label"], row["correct"]) == ("Dog-001.wav", "Dog", "")
    assert (row["source_uri"], row["source_start_s"]) == (str(source), "0.0")
    with wave.open(str(cut / "Dog-001.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (11025, 1)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    with source.open("rb") as audio, ExcerptReader("x", audio) as reader:
        end_s = HOP_S + PATCH_DURATION_S + 0.25
        expected = reader.read_seconds("x", None, end_s).samples
    assert np.array_equal(samples, (expected * 32768).astype("<i2"))
    # The answers of a listener are not overwritten.
    assert main(["events", str(folder), *options]) == 2
    assert "has an events.csv, perhaps with answers" in capsys.readouterr().err
    (cut / "events.csv").unlink()
    # The file of the best event of Rain is gone: the others are written.
    assert main(["events", str(folder), *options]) == 1
    assert "gone.wav" in capsys.readouterr().err
    assert [p.name for p in sorted(cut.glob("*.wav"))] == [
        "Bark-001.wav",
        "Dog-001.wav",
    ]
