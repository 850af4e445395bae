"""Every example runs as it stands, on the demo clips and their dataset."""

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import nbclient
import nbformat
import pytest

from tests.conftest import ROOT, Command

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def notebook() -> Any:
    path = EXAMPLES / "dataset.ipynb"
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


def test_every_example_is_tested() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert names == {"own_pipeline.py", "onnx_engine.py", "dataset.ipynb"}


def test_the_notebook_is_stored_without_outputs(notebook: Any) -> None:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) > 3
    for cell in cells:
        assert not cell.outputs and cell.execution_count is None


def test_the_notebook_runs_on_the_demo(
    notebook: Any, tmp_path: pathlib.Path, fsdsinet: Command
) -> None:
    output = tmp_path / "out" / "demo"
    fsdsinet("extract", "--config", "configs/demo.yaml", "--output", output)
    client = nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}
    )
    ran = client.execute()
    outputs = [cell.outputs for cell in ran.cells if cell.cell_type == "code"]
    ledger, tops = (o[-1]["data"]["text/html"] for o in outputs[1:3])
    assert "not_audio" in ledger and "random bytes: damaged on purpose" in ledger
    assert "Church bell" in tops or "Bell 0.86" in tops
    assert any("image/png" in out.get("data", {}) for out in outputs[3])
    near = outputs[4][0]["text"].splitlines()
    found = [line.split()[0] for line in near[1:6]]
    search = ("search", output, "--clip", "organ", "--top", "5")
    fsdsinet(*search, "--output", tmp_path / "near.json")
    searched = json.loads((tmp_path / "near.json").read_text("utf-8"))
    assert found == [row["clip_id"] for row in searched]


def test_the_pipeline_labels_the_demo_clips(tmp_path: pathlib.Path) -> None:
    script = EXAMPLES / "own_pipeline.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 40
    output = tmp_path / "labels.jsonl"
    done = subprocess.run(
        [sys.executable, script, ROOT / "demo" / "clips", output],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, output.read_text(encoding="utf-8").splitlines())
    by_name = {pathlib.Path(line["uri"]).name: line for line in lines}
    assert len(by_name) == 24
    assert by_name["church_bell.flac"]["labels"][0][0] == "Music"
    assert len(by_name["organ.mp3"]["labels"]) == 10
    assert "damaged.mp3" in by_name["damaged.mp3"]["error"]
    assert sum("error" in line for line in by_name.values()) == 1
