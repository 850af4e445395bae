"""Fixtures of several tests.

- `tiny_model`: path of a small graph with random weights.
- `corpus`: folder of clips.
- `corpus_dataset`: dataset of these clips and the tiny model.
- `command_server`: starts commands in child processes.
- `fsdsinet`: runs a command in a child process.
- `reference`: runs the reference script in a child process.
"""

import json
import logging
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

import hypothesis
import numpy as np
import pytest

from tests.support.audio_files import make_wav
from tests.support.command_server import CommandServer
from transforms.models.registry import registered_models

# No time limits: a first example may import or compile, and the machine may be busy.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")
# Beam warns on import that its Google Cloud parts are not installed.
logging.getLogger().setLevel(logging.ERROR)

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"
BUNDLED_MODELS = tuple(m.name for m in registered_models().values() if m.bundled_file)
Completed = subprocess.CompletedProcess[str]
Command = Callable[..., Completed]
Reference = Callable[..., list[tuple[np.ndarray, np.ndarray]]]


def command_line(*arguments: str | pathlib.Path) -> list[str]:
    return [sys.executable, "-m", "pipeline", *map(str, arguments)]


@pytest.fixture(scope="session")
def tiny_model() -> pathlib.Path:
    return DATA / "random-tiny-tlpf.pb"


@pytest.fixture(scope="session")
def command_server() -> Iterator[CommandServer]:
    server = CommandServer(ROOT)
    yield server
    server.close()


@pytest.fixture(scope="session")
def fsdsinet(command_server: CommandServer) -> Command:
    """Runs `fsdsinet ARGUMENTS...`; fails unless it exits with `code`."""

    def run(
        *arguments: str | pathlib.Path, code: int = 0, cwd: pathlib.Path = ROOT
    ) -> Completed:
        command_server.start([*map(str, arguments)], cwd)
        completed = command_server.wait()
        assert completed.returncode == code, completed.stdout + completed.stderr
        assert "Traceback" not in completed.stderr, completed.stderr
        return completed

    return run


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Runs the reference script and returns (activations, embeddings) of each file.

    TensorFlow has one thread, as in workers. With more threads TensorFlow sums in
    another order, so that two runs of the reference differ in the last bits.
    """

    def run(
        model: pathlib.Path,
        files: Sequence[pathlib.Path],
        *options: str,
        num_threads: int = 1,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        output = tmp_path_factory.mktemp("reference") / "out.npz"
        script = ROOT / "benchmarks" / "support" / "reference.py"
        completed = subprocess.run(
            [sys.executable, script, model, output, *files, *options],
            capture_output=True,
            text=True,
            timeout=200,
            env={**os.environ, "TF_NUM_INTRAOP_THREADS": str(num_threads)},
        )
        assert completed.returncode == 0, completed.stderr
        assert json.loads(completed.stdout)["seconds"] > 0
        with np.load(output) as arrays:
            return [
                (arrays[f"activations_{i}"], arrays[f"embeddings_{i}"])
                for i in range(len(files))
            ]

    return run


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder of 12 short clips, two of them broken."""
    folder = tmp_path_factory.mktemp("corpus")
    for index in range(10):
        make_wav(folder / f"clip{index}.wav", 15000 + 9000 * index, seed=index)
    (folder / "text.wav").write_text("this is no audio")
    (folder / "empty.flac").touch()
    return folder


@pytest.fixture(scope="session")
def corpus_dataset(
    tmp_path_factory: pytest.TempPathFactory,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> pathlib.Path:
    """The dataset of `corpus` with the defaults; tests change only copies of it."""
    output = tmp_path_factory.mktemp("corpus-dataset") / "out"
    fsdsinet("extract", corpus, "--model", tiny_model, "--output", output)
    return output
