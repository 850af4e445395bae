"""The events of the report: which ones it lists, and what it says of them."""

import base64
import pathlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.main import main
from pipeline.dataset.folder import Dataset
from pipeline.errors import ConfigError, DatasetError
from pipeline.results.report.events import most_certain, settings_text
from pipeline.results.report.page_data import Limits, collect
from tests.support.made_dataset import make_dataset, scored
from transforms.events.settings import EventSettings
from transforms.events.thresholds import Threshold

LABELS = ("Dog", "Rain", "Bark")
RESULTS = {
    "b": scored([[0.9, 0.1, 0], [0.7, 0, 0], [0.1, 0.6, 0]], [[1.0, 0.0]] * 3),
    "quiet": scored([[0.1, 0.2, 0.3]]),
    "a": scored([[0.2, 0.95, 0]]),
    "failed": None,
}
TIMES = ["2024-06-11T23:59:59.500+02:00", None, "2024-06-11T05:30:00", None]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("events") / "out"
    uris = [
        "/rec/x/b.wav",
        "/rec/x/q.wav",
        "https://h/a.wav?X-Amz-Signature=secret",
        "/no.wav",
    ]
    columns = {"recorded_at": TIMES}
    make_dataset(folder, RESULTS, LABELS, columns, shard_clips=2, uris=uris)
    return Dataset(str(folder))


def unpack(text: str, kind: type) -> list:
    return np.frombuffer(base64.b64decode(text), kind).tolist()


def listed(dataset: Dataset, limit: int = 99, **settings: object) -> dict:
    chosen = EventSettings(**settings)  # type: ignore[arg-type]
    found = collect(dataset, "/rec", Limits(events=limit), chosen)
    return {**found["models"][0]["events"], "folders": found["folders"]}


def test_events_have_their_clip_file_times_and_score(dataset: Dataset) -> None:
    data = listed(dataset)
    assert data["num_all"] == 3
    assert data["settings"] == "threshold 0.5"
    clips = [data["clip_ids"][index] for index in unpack(data["clip"], np.uint32)]
    names = [LABELS[index] for index in unpack(data["label"], np.uint16)]
    assert [*zip(clips, names, strict=True)] == [
        *(("b", "Dog"), ("b", "Rain"), ("a", "Rain"))
    ]
    assert unpack(data["start_s"], np.float64)[0] == 0
    assert unpack(data["end_s"], np.float64)[2] == 1
    scores = np.array(unpack(data["score"], np.uint16)) / 65535
    np.testing.assert_allclose(scores, [0.9, 0.6, 0.95], atol=1e-5)


def test_files_have_addresses_and_the_clock_of_their_recorder(dataset: Dataset) -> None:
    data = listed(dataset)
    assert unpack(data["file_of_clip"], np.uint32) == [0, 1]
    first, second = data["files"]
    assert data["folders"][first[0]][:2] == ["/rec/x", None]
    assert data["folders"][second[0]] == ["https://h", "https://h", ""]
    # Neither the time in UTC, nor the signature of the URL.
    start = np.datetime64("2024-06-11T23:59:59.500", "ms").astype(int) / 1000
    assert first[1:] == ["b.wav", None, start, "+02:00"]
    assert second[1:3] == ["a.wav", None] and second[4] == ""


def test_settings_choose_events(dataset: Dataset) -> None:
    assert listed(dataset, threshold=0.2)["num_all"] == 6
    assert listed(dataset, labels=("Dog",))["num_all"] == 1
    data = listed(dataset, limit=1)
    assert data["num_all"] == 3 and len(data["clip_ids"]) == len(data["files"]) == 1
    with pytest.raises(ConfigError, match="there is no label 'Dig'"):
        listed(dataset, labels=("Dig",))


def test_the_options_of_the_command_reach_the_page(
    dataset: Dataset, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "a.html"
    options = ["--threshold", "0.2", "--smooth", "1", "--label", "Dog"]
    command = ["report", str(dataset.root), "--output", str(page)]
    assert main([*command, *options]) == 0
    assert "threshold 0.2, smooth 1 s, labels Dog" in page.read_text("utf-8")
    assert main([*command, "--threshold", "2"]) == 2
    assert "threshold is 2" in capsys.readouterr().err


def test_a_dataset_without_activations_has_no_events(tmp_path: pathlib.Path) -> None:
    folder = make_dataset(tmp_path / "out", RESULTS, LABELS, outputs=("embeddings",))
    made = Dataset(str(folder))
    assert collect(made, "/", Limits())["models"][0]["events"] is None
    with pytest.raises(DatasetError, match="has no activations"):
        collect(made, "/", Limits(), EventSettings(threshold=0.2))


def test_events_without_patches_are_listed(tmp_path: pathlib.Path) -> None:
    settings = EventSettings(thresholds={"Rain": Threshold(0.9, 0.3)}, smooth_s=0.1)
    folder = make_dataset(
        tmp_path / "out", RESULTS, LABELS, outputs=("events",), events=settings
    )
    (model,) = collect(Dataset(str(folder)), "/", Limits())["models"]
    assert model["events"]["num_all"] == 1
    assert model["events"]["settings"] == (
        "thresholds of 1 labels from a file, smooth 0.1 s"
    )


def test_settings_are_said_in_words() -> None:
    settings = EventSettings(
        threshold=0.4, low=0.25, merge_gap_s=2, min_duration_s=1.5, leaves=True
    )
    assert settings_text(settings) == (
        "threshold 0.4, low threshold 0.25, merge gap 2 s, min duration 1.5 s, "
        "most special labels only"
    )
    thresholds = {"Dog": Threshold(0.4)}
    text = settings_text(EventSettings(thresholds=thresholds, bounds="hop"))
    assert text == "thresholds of 1 labels from a file, bounds hop"


@given(
    events=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 5)), min_size=1, max_size=40
    ),
    limit=st.integers(1, 45),
)
def test_the_most_certain_events_of_each_label_are_kept(
    events: list[tuple[str, int]], limit: int
) -> None:
    labels, scores = zip(*events, strict=True)
    table = pa.table(
        {
            "label": labels,
            "score_max": pa.array(scores, pa.float32()),
            "place": range(len(events)),
        }
    )
    # A plain loop: the best event of each label, then the second best, and so on.
    ranked = []
    for name in set(labels):
        mine = [place for place, label in enumerate(labels) if label == name]
        mine.sort(key=lambda place: -scores[place])
        ranked += [(rank, -scores[place], place) for rank, place in enumerate(mine)]
    expected = sorted(place for _, _, place in sorted(ranked)[:limit])
    assert most_certain(table, limit)["place"].to_pylist() == expected
