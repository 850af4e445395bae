"""Every block of the guide runs as it stands, and finds what it says."""

import json
import pathlib
import re
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT, Command

GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^## ([^\n]*)\n.*?```python\n(.*?)```", GUIDE, re.M | re.S))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, fsdsinet: Command) -> pathlib.Path:
    """The folder in which `out/demo` is."""
    folder = tmp_path_factory.mktemp("guide")
    output = folder / "out" / "demo"
    fsdsinet("extract", "--config", "configs/demo.yaml", "--output", output)
    return folder


def run(title: str, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The names that a block defines."""
    monkeypatch.chdir(folder)
    (name,) = [name for name in BLOCKS if name.startswith(title)]
    names: dict[str, Any] = {}
    exec(compile(BLOCKS[name], name, "exec"), names)
    return names


def test_every_block_is_tested() -> None:
    assert GUIDE.count("```python") == len(BLOCKS) == 5


def test_clips_with_a_label(
    demo: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bells = run("Find all clips", demo, monkeypatch)["bells"]
    clips = pq.read_table(demo / "out/demo/clips")
    bell = json.loads(clips.schema.metadata[b"labels"]).index("Bell")
    highest = np.stack(clips["activations_max"].to_numpy())[:, bell]
    heard = set(np.array(clips["clip_id"])[highest > 0.5])
    assert {clip_id for clip_id, _, _ in bells} == heard and "church_bell" in heard
    assert all(score > 0.5 for _, _, score in bells)
    assert bells[0][1].endswith((".opus", ".flac", ".wav", ".mp3"))


def test_timeline(demo: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timeline = run("Follow one clip", demo, monkeypatch)["timeline"]
    assert timeline["start_s"].is_sorted() and len(timeline) > 3
    assert timeline["Percussion"].mean() > 0.5


def test_labels_together(demo: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run("See which labels", demo, monkeypatch)
    together = names["together"]
    assert together.loc["Church bell", "Bell"] >= 1
    assert (together.to_numpy() == together.to_numpy().T).all()
    assert "Music" in names["heard"]


def test_embeddings_as_a_matrix(
    demo: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("Take the embeddings", demo, monkeypatch)
    with np.load(demo / "embeddings.npz") as arrays:
        assert arrays["x"].shape == (23, 256) and arrays["x"].dtype == np.float32
        assert "organ" in arrays["clip_id"]


def test_classifier(demo: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run("Train a small", demo, monkeypatch)
    assert (names["heard"] == names["is_speech"]).mean() >= 0.85
    assert names["is_speech"].sum() == 3
