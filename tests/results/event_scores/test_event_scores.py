"""`fsdsinet evaluate --events`: which events are scored, against what, and how."""

import csv
import dataclasses
import itertools
import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import mir_eval
import numpy as np
import pandas as pd
import pytest

from pipeline.cli.main import main
from pipeline.results.evaluation.intervals import estimate
from pipeline.results.evaluation.scores import bootstrap_weights
from tests.support.made_dataset import make_dataset, scored
from transforms.events.settings import EventSettings
from transforms.events.thresholds import Threshold

LABELS = ("Dog", "Rain", "Bark", "Hiss_of_a cat")
# Start of each patch, and the length of a patch.
HOP_S = 50 * 220 / 22050
# Dog from 0 to 1.5 s, Rain from 1 s to the end (2.5 s).
B_PATCHES = [[0.9, 0.1, 0, 0], [0.7, 0, 0, 0], [0.1, 0.6, 0, 0], [0, 0.8, 0, 0]]
RESULTS = {
    "b": scored(B_PATCHES, [[1.0, 0.0]] * 4),
    # Rain all the time (1 s).
    "a": scored([[0.2, 0.95, 0, 0]]),
    # Dog and Bark all the time.
    "c": scored([[0.8, 0, 0.7, 0]]),
    "failed": None,
}
URIS = ["/rec/x/b.wav", "/rec/x/a.wav", "/rec/y/c.wav", "/rec/y/failed.wav"]
HEADING = "uri,label,start_s,end_s"


@dataclasses.dataclass
class Scored:
    """What a command wrote."""

    said: str
    json: dict[str, Any]
    labels: dict[str, dict[str, str]]

    def counts(self, label: str, kind: str = "event") -> tuple[int, ...]:
        """True, found and hits of a label."""
        row = self.labels[label]
        return tuple(int(row[f"{kind}_{x}"]) for x in ("true", "found", "hits"))

    def micro(self, name: str, kind: str = "event_based") -> float | None:
        value: float | None = self.json[kind]["micro"][name]["value"]
        return value


@dataclasses.dataclass
class Command:
    """Runs the command on a dataset, with a ground truth that is written first."""

    folder: pathlib.Path
    dataset: pathlib.Path
    capsys: pytest.CaptureFixture[str]

    def scored(
        self, rows: Sequence[str], *options: str, heading: str = HEADING
    ) -> Scored:
        self.run(rows, *options, heading=heading)
        said = self.capsys.readouterr().out
        folder = self.dataset / "evaluation/model=made"
        with (folder / "events.csv").open(encoding="utf-8") as file:
            labels = {row["label"]: row for row in csv.DictReader(file)}
        return Scored(said, json.loads((folder / "events.json").read_text()), labels)

    def refused(
        self, rows: Sequence[str], *options: str, heading: str = HEADING
    ) -> str:
        self.run(rows, *options, heading=heading, code=2)
        said = self.capsys.readouterr().err
        assert "Traceback" not in said
        return said

    def run(
        self, rows: Sequence[str], *options: str, heading: str, code: int = 0
    ) -> None:
        path = self.folder / "truth.csv"
        path.write_text("\n".join([heading, *rows, ""]), encoding="utf-8")
        arguments = ["evaluate", str(self.dataset), "--events", str(path)]
        assert main([*arguments, "--resamples=20", *options]) == code


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("event_scores") / "out"
    return make_dataset(folder, RESULTS, LABELS, shard_clips=2, uris=URIS)


@pytest.fixture
def command(
    dataset: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    return Command(tmp_path, dataset, capsys)


@pytest.mark.parametrize("name", ["e.csv", "e.parquet"])
def test_found_events_match_themselves(
    command: Command, tmp_path: pathlib.Path, name: str
) -> None:
    path = tmp_path / name
    options = ["--threshold=0.15", "--bounds=hop"]
    assert main(["events", str(command.dataset), f"--output={path}", *options]) == 0
    arguments = ["evaluate", str(command.dataset), f"--events={path}", *options]
    folder = tmp_path / "scores"
    assert main([*arguments, "--collar=0", f"--output={folder}"]) == 0
    found = json.loads((folder / "events.json").read_text())
    for kind, mean, rate in itertools.product(
        ("event_based", "segment_based"),
        ("macro", "micro"),
        ("precision", "recall", "f1"),
    ):
        assert found[kind][mean][rate] == {"value": 1, "low": 1, "high": 1}
    assert found["found_with"]["options"] == {"threshold": 0.15, "bounds": "hop"}


def test_scores_of_a_case_by_hand(command: Command) -> None:
    found = command.scored(
        [
            # The found Dog (0 to 1.53 s) is right, the one of c.wav is not named.
            "/rec/x/b.wav,Dog,0.2,1.8",
            # The found Rain (1 to 2.5 s) begins too late.
            "/rec/x/b.wav,Rain,0.0,2.5",
            # Found from 0 to 1 s.
            "/rec/x/a.wav,Rain,0.1,0.9",
            # Not found.
            "/rec/x/a.wav,Bark,0.1,0.9",
        ]
    )
    assert found.counts("Dog") == (1, 1, 1)
    assert found.counts("Rain") == (2, 2, 1)
    assert found.counts("Bark") == (1, 0, 0)
    assert found.micro("precision") == pytest.approx(2 / 3)
    assert found.micro("recall") == pytest.approx(2 / 4)
    assert found.micro("f1") == pytest.approx(4 / 7)
    macro = found.json["event_based"]["macro"]
    assert macro["f1"]["value"] == pytest.approx((1 + 0.5 + 0) / 3)
    # Segments of 1 s: true Rain is in three of b.wav and one of a.wav, found Rain in
    # three (from 0.998 s on) and one.
    assert found.counts("Rain", "segment") == (4, 4, 4)
    assert found.counts("Dog", "segment") == (2, 2, 2)
    assert found.counts("Bark", "segment") == (1, 0, 0)
    assert found.labels["Bark"]["event_precision"] == "0.0"
    assert {row["collar_s"] for row in found.labels.values()} == {"0.5"}
    said = found.said.splitlines()
    assert said[0] == (
        "model made, 3 events found with the default settings, in 2 clips of 2 "
        f"recordings, against {command.folder / 'truth.csv'}"
    )
    assert (
        "event-based: start within 0.5 s, end within 0.5 s or 20 % of the event's "
        "length" in said
    )
    assert "segment-based: segments of 1 s that an event touches" in said
    rows = [line.split() for line in said if line.startswith(("Dog ", "Rain", "Bark"))]
    assert [row[0] for row in rows] == ["Dog", "Rain", "Bark"]
    assert rows[1][1:6] == ["2", "2", "0.500", "0.500", "0.500"]


def test_collar_and_segment_are_options(command: Command) -> None:
    rows = ["/rec/x/b.wav,Rain,0.0,2.5"]
    found = command.scored(rows, "--collar=1", "--segment=0.5")
    assert found.counts("Rain") == (1, 1, 1)
    # Found from 0.998 s on: the segments 1 to 4 of 0 to 4.
    assert found.counts("Rain", "segment") == (5, 4, 4)
    assert "start within 1 s, end within 1 s or" in found.said
    assert "segments of 0.5 s" in found.said
    assert found.json["event_based"]["collar_s"] == 1
    assert "one recording: its scores have no intervals" in found.said
    f1 = found.json["event_based"]["micro"]["f1"]
    assert f1 == {"value": 1, "low": None, "high": None}


def test_recordings_that_are_not_named_do_not_count(command: Command) -> None:
    rows = ["/rec/x/b.wav,Dog,0,1.5"]
    assert command.scored(rows).counts("Dog") == (1, 1, 1)
    # Somebody listened to c.wav and heard nothing: its Dog is a false alarm.
    listened = command.scored([*rows, "/rec/y/c.wav,,,"])
    assert listened.counts("Dog") == (1, 2, 1)
    everything = command.scored(rows, "--all-clips")
    assert everything.counts("Dog") == (1, 2, 1)
    assert everything.json["clips"]["evaluated"] == 3
    # Rain and Bark are no labels of the ground truth; Rain is also found in a.wav.
    assert "3 found events of 2 labels that" in everything.said
    assert "2 found events of 2 labels that" in listened.said
    assert [*everything.labels] == ["Dog"]


def test_labels_that_nobody_listened_for_are_not_scored(command: Command) -> None:
    rows = ["/rec/x/b.wav,Dog,0,1.5", "/rec/y/c.wav,Dog,0,1"]
    found = command.scored(rows)
    assert found.json["labels"]["found_events_of_others"] == {"Rain": 1, "Bark": 1}
    assert found.micro("precision") == 1
    asked = command.scored(rows, "--label=Dog", "--label=Rain")
    assert [*asked.labels] == ["Dog", "Rain"]
    assert asked.micro("precision") == pytest.approx(2 / 3)
    assert asked.labels["Rain"]["event_f1"] == ""
    assert "1 label without a true event in these clips" in asked.said
    assert "found with --label Dog --label Rain, in 2 clips" in asked.said


def test_labels_without_a_threshold_are_not_scored(command: Command) -> None:
    thresholds = command.folder / "t.csv"
    thresholds.write_text("label,threshold\nDog,0.75\n")
    rows = ["/rec/x/b.wav,Dog,0,1", "/rec/x/b.wav,Rain,1,2.5"]
    found = command.scored(rows, f"--thresholds={thresholds}")
    assert [*found.labels] == ["Dog"]
    assert found.counts("Dog") == (1, 1, 1)
    assert "1 label without a threshold, not scored: Rain" in found.said
    assert f"found with --thresholds {thresholds}" in found.said
    said = command.refused(rows[1:], f"--thresholds={thresholds}")
    assert "these settings find no events of Rain" in said


def test_labels_may_have_underscores(command: Command) -> None:
    found = command.scored(["/rec/x/b.wav,Hiss of a_cat,0,1", "/rec/x/b.wav,Dog,0,1"])
    assert found.counts("Hiss_of_a cat") == (1, 0, 0)
    said = command.refused(["/rec/x/b.wav,Dgo,0,1"])
    assert "model made does not know 1 of the 1 labels of the ground truth" in said


@pytest.mark.parametrize(
    "name",
    ["/rec/x/b.wav", "b.wav", "x/b.wav", "file:///rec/x/b.wav", "../rec/x/b.wav"],
)
def test_recordings_have_several_names(
    command: Command, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.startswith(".."):
        name = "../" * (len(command.folder.parts) - 1) + name[3:]
    assert command.scored([f"{name},Dog,0,1.5"]).counts("Dog") == (1, 1, 1)
    # A clip_id of this dataset counts more than a uri.
    heading = "clip_id,uri,label,start_s,end_s"
    for clip_id in ("", "of another dataset"):
        found = command.scored([f"{clip_id},{name},Dog,0,1.5"], heading=heading)
        assert found.counts("Dog") == (1, 1, 1)
    found = command.scored([f"c,{name},Dog,0,1"], heading=heading)
    assert found.json["clips"] == {
        "evaluated": 1,
        "recordings": 1,
        "all_clips": False,
        "without_result": {},
        "without_result_counted_as": "zero",
    }
    assert found.counts("Dog") == (1, 1, 1)


def test_names_of_several_recordings_are_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {name: RESULTS["b"] for name in "pqr"}
    uris = ["/rec/1/b.wav", "/rec/2/b.wav", "/rec/2/other-b.wav"]
    folder = make_dataset(tmp_path / "out", results, LABELS, uris=uris)
    command = Command(tmp_path, folder, capsys)
    said = command.refused(["b.wav,Dog,0,1"])
    assert "names 'b.wav', the name of 2 recordings in" in said
    assert "/rec/1/b.wav, /rec/2/b.wav; give the whole path" in said
    assert command.scored(["2/b.wav,Dog,0,1.5"]).counts("Dog") == (1, 1, 1)


def test_clips_without_a_result(command: Command) -> None:
    rows = [
        "b.wav,Dog,0,1.5",
        "failed.wav,Dog,0,1",
        "failed.wav,Dog,4,5",
        "gone.wav,Dog,0,1",
    ]
    found = command.scored(rows)
    assert found.counts("Dog") == (4, 1, 1)
    assert found.counts("Dog", "segment") == (5, 2, 2)
    assert found.json["clips"]["without_result"] == {
        "failed": 1,
        "not in the dataset": 1,
    }
    assert "their events count as not found" in found.said
    left_out = command.scored(rows, "--missing=skip")
    assert left_out.counts("Dog") == (1, 1, 1)
    assert "left out" in left_out.said
    said = command.refused(rows[1:])
    assert "no recording of events" in said and "'failed.wav', the dataset has" in said


def test_events_are_cut_to_excerpts(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # b lasts from 100 to 102.5 s of the file, a from 102.5 to 103.5 s.
    columns: dict[str, Sequence[object]] = {
        "start_s": [100.0, 102.5],
        "end_s": [102.5, 103.5],
    }
    results = {"b": RESULTS["b"], "a": RESULTS["a"]}
    uris = ["/rec/long.wav"] * 2
    folder = make_dataset(tmp_path / "out", results, LABELS, columns, uris=uris)
    command = Command(tmp_path, folder, capsys)
    found = command.scored(
        [
            # In both clips, and found in both.
            "long.wav,Rain,101,103.4",
            "long.wav,Dog,99,101.5",
            "long.wav,Dog,102.5,103.5",
            "long.wav,Dog,10,11",
            "long.wav,Rain,103.5,104",
        ]
    )
    assert found.counts("Rain") == (2, 2, 2)
    assert found.counts("Dog") == (2, 1, 1)
    # Segments begin with the clip: 100, 101, ... and 102.5.
    assert found.counts("Rain", "segment") == (3, 4, 3)
    assert found.json["ground_truth"]["events_cut"] == 2
    assert found.json["ground_truth"]["events_outside"] == 2
    assert "2 events of the ground truth cut at the start or end of clips" in found.said
    assert "2 events of the ground truth outside of the clips, not scored" in found.said
    assert found.json["clips"]["recordings"] == 1
    # A clip_id names one of the clips.
    rows = ["b,Rain,101,103.4"]
    found = command.scored(rows, heading="clip_id,label,start_s,end_s")
    assert found.counts("Rain") == (1, 1, 1)
    said = command.refused(["long.wav,Dog,0,1"])
    assert "no event of Dog in the clips to score (1 events are outside" in said


def test_marks_give_a_precision_and_no_recall(command: Command) -> None:
    heading = f"{HEADING},correct"
    rows = [
        "/rec/x/b.wav,Dog,0,1.5,yes",
        "/rec/x/b.wav,Rain,1,2.5,No",
        "/rec/x/a.wav,Rain,0,1,YES",
        "/rec/y/c.wav,Bark,0,1,",
        # These settings do not find it.
        "/rec/x/a.wav,Dog,0,1,no",
    ]
    found = command.scored(rows, heading=heading)
    # The Dog in c.wav has no mark, and Bark is not marked.
    assert found.counts("Dog") == (1, 1, 1)
    assert found.counts("Rain") == (1, 2, 1)
    assert [*found.labels] == ["Dog", "Rain"]
    assert found.micro("precision") == pytest.approx(2 / 3)
    assert found.json["event_based"]["macro"]["precision"]["value"] == 0.75
    assert found.micro("recall") is None and found.micro("f1") is None
    assert found.micro("recall", "segment_based") is None
    # Rain: three segments of b.wav are found and marked no, one of a.wav yes.
    assert found.counts("Rain", "segment") == (1, 3, 1)
    assert "marks on found events: 3 of 4 found events have a mark" in found.said
    assert "1 row without a mark" in found.said
    assert "recall  " not in found.said and "F1" not in found.said
    assert found.labels["Rain"]["event_recall"] == ""
    assert found.labels["Rain"]["event_precision"] == "0.5"
    higher = command.scored(rows, "--threshold=0.85", heading=heading)
    assert higher.counts("Rain") == (1, 1, 1)
    said = command.refused(rows, "--all-clips", heading=heading)
    assert "has marks, so that only marked events are scored" in said


def test_marks_in_the_manifest_of_cut_events_are_read(command: Command) -> None:
    heading = "uri,label,clip_id,source_uri,source_start_s,source_end_s,correct"
    rows = [
        "Dog-001.wav,Dog,Dog-001,/rec/x/b.wav,0.0,1.5,yes",
        "Dog-002.wav,Dog,Dog-002,/rec/y/c.wav,0.0,1.0,no",
    ]
    found = command.scored(rows, heading=heading)
    assert found.counts("Dog") == (1, 2, 1)


def test_wrong_marks_are_explained(command: Command) -> None:
    heading = f"{HEADING},correct"
    said = command.refused(["/rec/x/b.wav,Dog,0,1,maybe"], heading=heading)
    assert "row 1: correct is 'maybe', expected yes, no or nothing" in said
    said = command.refused(["/rec/x/b.wav,Dog,0,1,"], heading=heading)
    assert "no row has yes or no in it; mark events, or remove" in said


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has no rows"),
        ([",Dog,0,1"], "row 1 names no clip and no recording"),
        (["b.wav,Dog,0,1", "b.wav,,0,1"], "row 2 has no label"),
        (["b.wav,Dog,0,"], "row 1: start_s is 0.0, end_s is None"),
        (["b.wav,Dog,2,1"], "row 1: start_s is 2.0, end_s is 1.0"),
    ],
)
def test_wrong_rows_are_explained(
    command: Command, rows: list[str], message: str
) -> None:
    assert message in command.refused(rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--collar=-1",), "collar is -1 s, expected 0 or more"),
        (("--collar=nan",), "collar is nan s, expected 0 or more"),
        (("--segment=0",), "segment is 0 s, expected above 0"),
        (("--resamples=0",), "resamples is 0, expected 1 or more"),
        (("--label=Dgo",), "there is no label 'Dgo'; did you mean Dog?"),
        (("--threshold=2",), "threshold is 2"),
        (("--aggregate=mean",), "--aggregate is given without --ground-truth"),
        (("--split=eval",), "--split is given without --ground-truth"),
        (("--fit-thresholds=t",), "--fit-thresholds is given without --ground-truth"),
        (("--cross-validate=0",), "--cross-validate is given without --ground-truth"),
    ],
)
def test_wrong_options_are_explained(
    command: Command, options: tuple[str, ...], message: str
) -> None:
    assert message in command.refused(["b.wav,Dog,0,1"], *options)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--collar=0", "--collar is given without --events"),
        ("--segment=1", "--segment is given without --events"),
        ("--all-clips", "--all-clips is given without --events"),
        ("--smooth=0", "--smooth is given without --events"),
        ("--leaves", "--leaves is given without --events"),
    ],
)
def test_options_of_events_need_events(
    command: Command, option: str, message: str
) -> None:
    arguments = ["evaluate", str(command.dataset), "--ground-truth=t.csv", option]
    assert main(arguments) == 2
    assert message in command.capsys.readouterr().err


def test_one_ground_truth_is_given(command: Command) -> None:
    for options, message in (
        ([], "one of the arguments --ground-truth --events is required"),
        (["--events=a", "--ground-truth=b"], "not allowed with argument --events"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["evaluate", str(command.dataset), *options])
        assert stop.value.code == 2
        assert message in command.capsys.readouterr().err


def test_stored_events_are_scored(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_dataset(
        tmp_path / "out",
        RESULTS,
        LABELS,
        outputs=("events",),
        uris=URIS,
        events=EventSettings(),
    )
    command = Command(tmp_path, folder, capsys)
    found = command.scored(["/rec/x/b.wav,Dog,0,1.5"])
    assert found.counts("Dog") == (1, 1, 1)
    assert "found with the settings of the run" in found.said
    said = command.refused(["/rec/x/b.wav,Dog,0,1.5"], "--threshold=0.3")
    assert "has no activations of patches" in said


def test_labels_that_the_run_did_not_look_for_are_not_scored(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["/rec/x/b.wav,Dog,0,1", "/rec/x/b.wav,Rain,0,1"]
    for name, settings in (
        ("thresholds", EventSettings(thresholds={"Dog": Threshold(0.75)})),
        ("labels", EventSettings(labels=("Dog",))),
    ):
        folder = make_dataset(
            tmp_path / name,
            RESULTS,
            LABELS,
            outputs=("events",),
            uris=URIS,
            events=settings,
        )
        found = Command(tmp_path, folder, capsys).scored(rows)
        assert [*found.labels] == ["Dog"]
        assert "1 label without a threshold, not scored: Rain" in found.said


def test_stored_events_are_scored_unless_other_settings_are_given(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_dataset(
        tmp_path / "out",
        RESULTS,
        LABELS,
        outputs=("activations", "embeddings", "events"),
        uris=URIS,
        events=EventSettings(0.85),
    )
    command = Command(tmp_path, folder, capsys)
    rows = ["/rec/x/b.wav,Dog,0,1.5"]
    assert "found with the settings of the run" in command.scored(rows).said
    said = command.scored(rows, "--threshold=0.3").said
    assert "found with --threshold 0.3" in said


def test_unfinished_runs_say_so(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_dataset(tmp_path / "out", RESULTS, LABELS, uris=URIS, state="stopped")
    command = Command(tmp_path, folder, capsys)
    found = command.scored(["/rec/x/b.wav,Dog,0,1.5"])
    assert "NOT FINISHED: the run was stopped: 4 of 4 clips are done" in found.said


def test_only_the_best_and_worst_labels_are_listed(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [f"Label {i:02}" for i in range(15)]
    folder = make_dataset(tmp_path / "out", {"x": scored([[0.9] * 15])}, labels)
    command = Command(tmp_path, folder, capsys)
    rows = [f"x.wav,{label},0,1" for label in labels]
    said = command.scored(rows).said.splitlines()
    assert "... 5 more: see events.csv, or give --all-classes" in said
    assert sum(line.startswith("Label") for line in said) == 10
    said = command.scored(rows, "--all-classes").said.splitlines()
    assert sum(line.startswith("Label") for line in said) == 15


def made_truth(rng: np.random.Generator, num_clips: int) -> pd.DataFrame:
    """Random events, some near to patches and some not."""
    rows = [
        (f"/audio/c{rng.integers(num_clips)}.wav", LABELS[rng.integers(3)], start, end)
        for start, end in np.sort(rng.uniform(0, 4, (60, 2)).round(2), axis=1)
        if end > start
    ]
    return pd.DataFrame(rows, columns=["uri", "label", "start_s", "end_s"])


def plain_counts(true: pd.DataFrame, found: pd.DataFrame) -> list[int]:
    """Counts of a label in a recording, as mir_eval and sets of segments give them."""
    times = [x[["start_s", "end_s"]].to_numpy().reshape(-1, 2) for x in (true, found)]
    pitches = [np.ones(len(x)) for x in times]
    matched = mir_eval.transcription.match_notes(
        *(times[0], pitches[0], times[1], pitches[1]),
        onset_tolerance=0.5,
        offset_ratio=0.2,
        offset_min_tolerance=0.5,
    )
    segments: list[set[int]] = [
        {i for a, b in rows for i in range(math.floor(a), math.ceil(round(b, 6)))}
        for rows in times
    ]
    common = segments[0] & segments[1]
    return [len(true), len(found), len(matched), *map(len, (*segments, common))]


def plain_f1(counts: np.ndarray) -> float:
    """Macro F1 of counts [num_labels, 3]: true, found and hits."""
    with np.errstate(invalid="ignore"):
        f1 = 2 * counts[:, 2] / (counts[:, 0] + counts[:, 1])
    return float(np.mean(f1[counts[:, 0] > 0]))


def test_scores_are_those_of_a_plain_loop(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(5)
    num_clips = 8
    results = {
        f"c{i}": scored(rng.random((7, 4)), [[1.0, 0.0]] * 7) for i in range(num_clips)
    }
    command = Command(tmp_path, make_dataset(tmp_path / "o", results, LABELS), capsys)
    truth = made_truth(rng, num_clips)
    path = tmp_path / "found.csv"
    options = ["--threshold=0.6", "--bounds=hop"]
    assert main(["events", str(command.dataset), f"--output={path}", *options]) == 0
    capsys.readouterr()
    rows = truth.to_csv(index=False, header=False).splitlines()
    scores = command.scored(rows, *options)
    given = pd.read_csv(path)
    recordings = {*truth["uri"]}
    counts = np.array(
        [
            [
                plain_counts(
                    *(
                        x[(x["uri"] == uri) & (x["label"] == label)]
                        for x in (truth, given)
                    )
                )
                for label in LABELS[:3]
            ]
            for uri in sorted(recordings)
        ]
    )
    sums = counts.sum(axis=0)
    for label, row in zip(LABELS, sums, strict=False):
        assert scores.counts(label) == tuple(row[:3])
        assert scores.counts(label, "segment") == tuple(row[3:])
    assert 0 < sums[:, 2].sum() < sums[:, 0].sum()
    (weights,) = bootstrap_weights(len(counts), 20, 0)
    for kind, part in (("event_based", counts[..., :3]), ("segment_based", None)):
        part = counts[..., 3:] if part is None else part
        drawn = [plain_f1(np.tensordot(w, part, 1)) for w in weights.T]
        expected = estimate(plain_f1(part.sum(axis=0)), np.array(drawn))
        assert scores.json[kind]["macro"]["f1"] == pytest.approx(expected.as_json())
        drawn = [plain_f1(np.tensordot(w, part, 1).sum(0)[None]) for w in weights.T]
        expected = estimate(plain_f1(part.sum(axis=(0, 1))[None]), np.array(drawn))
        assert scores.json[kind]["micro"]["f1"] == pytest.approx(expected.as_json())
