"""The command with an engine that uses a device, while workers prepare shards."""

import os
import pathlib
import re
import subprocess

import pytest

from tests.conftest import ROOT, command_line
from tests.support.datasets import assert_same_dataset, assert_tidy, read

pytestmark = pytest.mark.timeout(300)
# Every process of the command imports this module at its start.
SITE = """
import os, pathlib, signal
from transforms.engines.registered import register_engine

def device(spec):
    from transforms import audio
    from transforms.engines.winograd.engine import WinogradEngine

    class Device(WinogradEngine):
        uses_device = True

        def run(self, patches):
            if len(patches) == int(os.environ["FAILS_AT"]):
                raise RuntimeError("the device is lost")
            if len(patches) == int(os.environ["KILLS_AT"]):
                die()
            return super().run(patches)

    audio.resample_clip = dying(audio.resample_clip)
    return Device(spec)

def dying(decode):
    def decode_or_die(clip, *arguments):
        if clip.clip_id.partition("-")[0] == os.environ["KILLER"]:
            die()
        return decode(clip, *arguments)
    return decode_or_die

def die():
    (pathlib.Path(__file__).parent / f"died-{os.getpid()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)

register_engine("device", device)
"""
# The only clip with so many patches. Engines are compared on 5 patches when they load.
CLIP, NUM_PATCHES_OF_CLIP = "clip6", "6"
OTHER_CLIP = "clip3"


def run_on_device(
    folder: pathlib.Path,
    corpus: pathlib.Path,
    model: pathlib.Path,
    *options: str,
    **faults: str,
) -> subprocess.CompletedProcess[str]:
    """Extracts to `folder`/out, in one worker and in shards of one clip.

    Args:
        folder: Folder of the test.
        corpus: Folder of the clips.
        model: Path of the model.
        options: Further options.
        faults: KILLER, the name of a clip whose decoding kills the worker; KILLS_AT and
            FAILS_AT, numbers of patches at which the device kills the worker, or fails.
    """
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(SITE)
    options = ("--engine", "device", "--workers", "1", "--shard-clips", "1", *options)
    return subprocess.run(
        command_line(
            "extract", corpus, "--model", model, "--output", folder / "out", *options
        ),
        env={
            **os.environ,
            **{"KILLER": "", "KILLS_AT": "-1", "FAILS_AT": "-1"},
            **faults,
            "PYTHONPATH": f"{site}:{ROOT}",
        },
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.slow
def test_clips_that_kill_workers_are_found_though_there_were_two_shards(
    corpus: pathlib.Path,
    corpus_dataset: pathlib.Path,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
) -> None:
    faults = {"KILLER": OTHER_CLIP, "KILLS_AT": NUM_PATCHES_OF_CLIP}
    done = run_on_device(tmp_path, corpus, tiny_model, **faults)
    assert done.returncode == 0, done.stderr
    rows = read(tmp_path / "out", "ledger").to_pylist()
    expected = read(corpus_dataset, "ledger").to_pylist()
    assert [row["clip_id"] for row in rows] == [row["clip_id"] for row in expected]
    died = [row for row in rows if row["error_type"] == "worker_died"]
    for row, clip in zip(died, (OTHER_CLIP, CLIP), strict=True):
        assert f"died 2 times while working on clip {clip}-" in row["error"]
    # At the first death there were two shards, and nobody was blamed.
    assert len([*(tmp_path / "site").glob("died-*")]) == 5
    assert_tidy(tmp_path / "out")


def test_a_device_that_fails_says_so_and_the_same_command_continues(
    corpus: pathlib.Path,
    corpus_dataset: pathlib.Path,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
) -> None:
    fault = {"FAILS_AT": NUM_PATCHES_OF_CLIP}
    failed = run_on_device(tmp_path, corpus, tiny_model, **fault)
    assert failed.returncode == 1
    assert "the device is lost" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert re.search(r"\b[1-9] of 12 clips are done", failed.stderr)
    # The rest has recordings, whose segments are not held back.
    done = run_on_device(tmp_path, corpus, tiny_model, "--long-clip", "2")
    assert done.returncode == 0, done.stderr
    assert_same_dataset(tmp_path / "out", corpus_dataset)
