"""The examples of the README and of examples/ run as they stand.

They run from this checkout, or from a wheel in an environment that has nothing else of
this project (`make test-wheel`).
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import nbformat
import pytest

from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODEL = "fsd-sinet-vgg41-tlpf-demo"
# Python of the environment that has the wheel.
WHEEL_VARIABLE = "FSDSINET_WHEEL_PYTHON"


class Installation:
    """Runs programs with one installation of the project, in a folder of their own."""

    def __init__(self, name: str, folder: pathlib.Path) -> None:
        self.name = name
        self.folder = folder
        self._environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        if name == "checkout":
            self._python = sys.executable
            self._environment["PYTHONPATH"] = str(ROOT)
        else:
            self._python = os.environ[WHEEL_VARIABLE]

    def run(self, *arguments: str | pathlib.Path) -> str:
        """Runs Python with arguments; returns its standard output."""
        done = self.start(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *arguments: str | pathlib.Path) -> subprocess.CompletedProcess[str]:
        """Runs Python with arguments; returns its exit code and what it printed."""
        # Nothing listens there, so that a bucket refuses at once.
        nowhere = {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        }
        return subprocess.run(
            [self._python, *arguments],
            env=self._environment | nowhere,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )

    def extract_demo(self) -> pathlib.Path:
        output = self.folder / "out" / "demo"
        extract = ("-m", "pipeline", "extract", ROOT / "demo" / "manifest.csv")
        self.run(*extract, "--model", MODEL, "--output", output)
        return output


@pytest.fixture
def installation(tmp_path: pathlib.Path) -> Installation:
    """The wheel for `make test-wheel`; this checkout for `make test`."""
    name = "wheel" if WHEEL_VARIABLE in os.environ else "checkout"
    return Installation(name, tmp_path)


def block_with(text: str) -> str:
    """The Python block of the README that contains a text."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", README, re.S)
    (block,) = [block for block in blocks if text in block]
    return block


def test_the_wheel_is_not_the_checkout(installation: Installation) -> None:
    where = installation.run("-c", "import transforms; print(transforms.__file__)")
    site = pathlib.Path(where.strip()).parents[1]
    assert (site == ROOT) == (installation.name == "checkout")


def test_the_pipeline_of_the_readme_gives_a_result_for_every_uri(
    installation: Installation,
) -> None:
    shutil.copy(ROOT / "demo" / "clips" / "siren.wav", installation.folder / "a.wav")
    lines = installation.run("-c", block_with("EmbedAudio")).splitlines()
    (found,) = [line for line in lines if "a.wav" in line]
    (missing,) = [line for line in lines if "s3://bucket/b.flac" in line]
    assert "8 patches: Alarm 0.85" in found and "failure=None" in found
    assert "error_type='unreadable'" in missing
    assert len(lines) == 2


def test_the_tagger_of_the_readme_gives_arrays(installation: Installation) -> None:
    shutil.copy(ROOT / "demo" / "clips" / "siren.wav", installation.folder / "a.wav")
    before = "import numpy as np\nsamples = np.zeros((2, 96_000), np.float32)\n"
    after = (
        "print(prediction.flags, prediction.activations.shape, prediction.start_s)\n"
        'siren = tagger.file("a.wav")\n'
        "print(siren.activations.shape, siren.embeddings.shape, len(siren.labels))\n"
    )
    silent, siren = installation.run(
        "-c", before + block_with("Tagger(") + after
    ).splitlines()
    assert silent.startswith("('silent',) (4, 200) [0.         0.49886621 0.99773243")
    assert siren == "(8, 200) (8, 256) 200"


def test_every_example_is_tested() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert names == {"own_pipeline.py", "onnx_engine.py", "dataset.ipynb"}


def test_the_notebook_is_stored_without_outputs() -> None:
    cells = json.loads((EXAMPLES / "dataset.ipynb").read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 3
    for cell in code:
        assert not cell["outputs"] and cell["execution_count"] is None


def test_the_notebook_runs_on_the_demo(installation: Installation) -> None:
    output = installation.extract_demo()
    ran = installation.folder / "ran.ipynb"
    installation.run(
        "-c",
        "import nbclient, nbformat, sys, traitlets.config\n"
        "notebook = nbformat.read(sys.argv[1], as_version=4)\n"
        # The kernel uses no ports: other programs may take them before it has started.
        "config = traitlets.config.Config(KernelManager={'transport': 'ipc'})\n"
        "nbclient.NotebookClient(notebook, timeout=200, config=config).execute()\n"
        "nbformat.write(notebook, sys.argv[2])\n",
        EXAMPLES / "dataset.ipynb",
        ran,
    )
    notebook: Any = nbformat.read(ran, as_version=4)  # type: ignore[no-untyped-call]
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    ledger, tops = (o[-1]["data"]["text/html"] for o in outputs[1:3])
    assert "not_audio" in ledger and "random bytes: damaged on purpose" in ledger
    assert "Church bell" in tops or "Bell 0.86" in tops
    assert any("image/png" in out.get("data", {}) for out in outputs[3])
    near = outputs[4][0]["text"].splitlines()
    found = [line.split()[0] for line in near[1:6]]
    search = ("-m", "pipeline", "search", output, "--clip", "organ", "--top", "5")
    installation.run(*search, "--output", "near.json")
    searched = json.loads((installation.folder / "near.json").read_text("utf-8"))
    assert found == [row["clip_id"] for row in searched]


def test_the_pipeline_labels_the_demo_clips(installation: Installation) -> None:
    script = EXAMPLES / "own_pipeline.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 40
    installation.run(script, ROOT / "demo" / "clips", "labels.jsonl")
    text = (installation.folder / "labels.jsonl").read_text(encoding="utf-8")
    lines = map(json.loads, text.splitlines())
    by_name = {pathlib.Path(line["uri"]).name: line for line in lines}
    assert len(by_name) == 24
    assert by_name["church_bell.flac"]["labels"][0][0] == "Music"
    assert len(by_name["organ.mp3"]["labels"]) == 10
    assert "damaged.mp3" in by_name["damaged.mp3"]["error"]
    assert sum("error" in line for line in by_name.values()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing", "labels.jsonl"], "no files in folder 'missing'; give a folder"),
        (["missing"], "usage: own_pipeline.py FOLDER OUTPUT"),
    ],
)
def test_wrong_arguments_of_the_pipeline_end_in_a_message(
    installation: Installation, arguments: list[str], message: str
) -> None:
    done = installation.start(EXAMPLES / "own_pipeline.py", *arguments)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not [*installation.folder.iterdir()]


def test_the_engine_of_the_example_runs_a_demo_model(
    installation: Installation,
) -> None:
    siren = ROOT / "demo" / "clips" / "siren.wav"
    said = installation.run(EXAMPLES / "onnx_engine.py", siren)
    assert "8 patches: Alarm 0.85, Siren 0.23" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["gone.wav"], "onnx_engine.py: cannot open"), ([], "usage: onnx_engine.py FILE")],
)
def test_wrong_arguments_of_the_engine_end_in_a_message(
    installation: Installation, arguments: list[str], message: str
) -> None:
    done = installation.start(EXAMPLES / "onnx_engine.py", *arguments)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr


def test_the_engine_of_the_example_agrees_with_the_reference(
    installation: Installation,
) -> None:
    code = (
        "import sys, numpy as np\n"
        f"sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "import onnx_engine\n"
        "from transforms import Tagger\n"
        f"taggers = [Tagger({MODEL!r}, engine=e) for e in ('onnx', 'essentia')]\n"
        "ours, reference = (t.file(sys.argv[1]).activations for t in taggers)\n"
        "assert np.abs(ours - reference).max() < 1e-5 and len(ours) == 8\n"
    )
    installation.run("-c", code, ROOT / "demo" / "clips" / "siren.wav")
