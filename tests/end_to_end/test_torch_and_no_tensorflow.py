"""The command with engine torch, and with an Essentia that has no TensorFlow."""

import functools
import os
import pathlib
import subprocess

import numpy as np
import pyarrow as pa
import pytest

from tests.conftest import ROOT, Command, command_line
from tests.support.audio_files import make_recordings
from tests.support.datasets import MODEL, assert_same_dataset, assert_tidy, read
from tests.support.predictions import assert_close
from transforms.elements import Prediction
from transforms.tagger import Tagger

pytest.importorskip("torch", reason="make torch installs PyTorch")
pytestmark = [pytest.mark.torch, pytest.mark.timeout(600)]
# Package `essentia`, which make torch puts there.
NO_TENSORFLOW = ROOT / "build" / "essentia"
OPTIONS = ("--workers", "2", "--overwrite")


def columns(table: pa.Table) -> Prediction:
    values = (np.stack(table[name].to_numpy()) for name in ("activations", "embedding"))
    return Prediction(*values)


def test_equals_a_plain_loop_and_any_shards_and_segments(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, fsdsinet: Command
) -> None:
    sounds = make_recordings(tmp_path, seconds=25)
    outputs = [tmp_path / name for name in ("one", "many", "segments")]
    options = (("--shard-clips", "1"), ("--shard-clips", "64"), ("--long-clip", "6"))
    for output, option in zip(outputs, options, strict=True):
        arguments = (sounds, "--model", tiny_model, "--output", output, *OPTIONS)
        fsdsinet("extract", *arguments, "--engine", "torch", *option)
        assert_same_dataset(output, outputs[0])
        assert_tidy(output)
    tagger = Tagger(str(tiny_model), engine="torch")
    reference = Tagger(str(tiny_model), engine="essentia")
    ledger = read(outputs[0], "ledger")
    ledger = ledger.filter(pa.compute.equal(ledger["status"], "ok"))
    assert len(ledger) == 6
    patches = read(outputs[0], f"patches/model={MODEL}")
    for clip_id, uri in zip(
        *(ledger[c].to_pylist() for c in ("clip_id", "uri")), strict=True
    ):
        found = columns(patches.filter(pa.compute.equal(patches["clip_id"], clip_id)))
        np.testing.assert_array_equal(found.activations, tagger.file(uri).activations)
        assert_close(found, reference.file(uri))


def test_a_dataset_keeps_its_precision(
    corpus: pathlib.Path,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    arguments = (corpus, "--model", tiny_model, "--output", tmp_path / "out")
    torch = ("extract", *arguments, "--engine", "torch")
    fsdsinet(*torch, "--precision", "bfloat16")
    refused = fsdsinet(*torch, code=2)
    assert f"{MODEL}: was torch bfloat16, is torch" in refused.stderr
    again = fsdsinet(*torch, "--precision", "bfloat16")
    assert "nothing to do" in again.stdout


def run_without_tensorflow(
    *arguments: str | pathlib.Path,
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(NO_TENSORFLOW), str(ROOT)])
    return subprocess.run(
        command_line(*arguments),
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("engine", ["winograd", "torch"])
def test_without_tensorflow_the_dataset_is_the_same(
    engine: str,
    corpus: pathlib.Path,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert NO_TENSORFLOW.is_dir(), "make torch brings package essentia"
    # The engine is compared with the layers in NumPy, not with what a cache holds.
    monkeypatch.setenv("FSDSINET_CACHE", str(tmp_path / "cache"))
    common = ("extract", corpus, "--model", tiny_model, "--engine", engine)
    done = run_without_tensorflow(*common, "--output", tmp_path / "without")
    assert done.returncode == 0, done.stderr
    fsdsinet(*common, "--output", tmp_path / "with")
    assert_same_dataset(tmp_path / "without", tmp_path / "with")


def test_without_tensorflow_the_reference_is_not_there(
    corpus: pathlib.Path, tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    common = (corpus, "--model", tiny_model, "--output", tmp_path / "out")
    done = run_without_tensorflow("extract", *common, "--engine", "essentia")
    assert done.returncode == 2
    assert "install `essentia-tensorflow` instead" in done.stderr
    assert "Traceback" not in done.stderr
    checked = run_without_tensorflow("models", "verify", tiny_model)
    assert "FAILED essentia essentia-tensorflow is not installed" in checked.stdout
    assert "against winograd: activations differ by" in checked.stdout


# Python runs this at its start. While the file LOST exists, the device fails in every
# process after some batches, as a device that falls off the bus does.
LOST_DEVICE = """
import os, torch
from torch.nn import functional
original, calls = functional.max_pool2d, 0

def max_pool2d(*arguments, **options):
    global calls
    calls += 1
    if os.path.exists({lost!r}) and calls > {calls}:
        raise torch.AcceleratorError("CUDA error: the device is lost")
    return original(*arguments, **options)

functional.max_pool2d = max_pool2d
"""


def test_after_a_lost_device_the_same_command_continues(
    corpus: pathlib.Path,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    lost = tmp_path / "LOST"
    lost.touch()
    # Six maxima a batch. The check of the engine, a worker's own check and some clips
    # are computed before the device is lost.
    code = LOST_DEVICE.format(lost=str(lost), calls=50)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(code)
    options = ("--engine", "torch", "--shard-clips", "1", "--workers", "1")
    command = command_line(
        "extract", corpus, "--model", tiny_model, "--output", tmp_path / "out", *options
    )
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    run = functools.partial(
        subprocess.run,
        command,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    failed = run()
    assert failed.returncode == 1, failed.stderr
    assert "device cpu failed (CUDA error: the device is lost)" in failed.stderr
    assert "run the same command again" in failed.stderr
    assert "Traceback" not in failed.stderr
    done = len(list((tmp_path / "out" / "ledger").iterdir()))
    assert 0 < done < len(list(corpus.iterdir()))
    lost.unlink()
    assert run().returncode == 0
    fsdsinet(
        "extract", corpus, "--model", tiny_model, "--output", tmp_path / "b", *options
    )
    assert_same_dataset(tmp_path / "out", tmp_path / "b")
    assert_tidy(tmp_path / "out")
