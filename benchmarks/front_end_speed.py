"""Measures the speed of resampling and log-mel, compared with Essentia, on one core.

Usage: python -m benchmarks.front_end_speed [--rounds N]

Times are milliseconds of processor time for 30 s of noise, the best of all rounds. The
result also has the number and the largest size of differences from Essentia.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.support.machine import save
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.elements import FloatArray
from transforms.essentia_import import essentia_standard
from transforms.front_end.mel import log_mel_bands
from transforms.front_end.patches import cut_frames
from transforms.resampling.whole import resample, resample_by_essentia

RATES_HZ = (8000, 11025, 16000, 24000, 32000, 44100, 48000, 96000)
_SECONDS = 30


def noise(rate_hz: int) -> FloatArray:
    # One more sample, so that the length is no multiple of MonoLoader's block.
    samples = np.random.default_rng(0).uniform(-1, 1, _SECONDS * rate_hz + 1)
    return samples.astype(np.float32)


def essentias_bands(frames: FloatArray) -> FloatArray:
    """Essentia's log-mel, one frame per call as in TensorflowPredictFSDSINet."""
    bands = essentia_standard().TensorflowInputFSDSINet()
    return np.stack([bands(frame) for frame in frames])


def compare(
    before: Callable[[], FloatArray], after: Callable[[], FloatArray], rounds: int
) -> dict[str, Any]:
    """Runs both in turn; the first run of each may compile and is not measured."""
    expected, actual = before(), after()
    best = {"essentia": float("inf"), "ours": float("inf")}
    for _ in range(rounds):
        for name, run in (("essentia", before), ("ours", after)):
            start = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - start)
    return {
        **{f"{name}_ms": round(1000 * seconds, 1) for name, seconds in best.items()},
        "times_as_fast": round(best["essentia"] / best["ours"], 1),
        "values": int(expected.size),
        "differing": int(np.count_nonzero(expected != actual)),
        "largest_difference": float(np.abs(expected - actual).max()),
    }


def compare_rate(rate_hz: int, rounds: int) -> dict[str, Any]:
    samples = noise(rate_hz)
    return compare(
        lambda: resample_by_essentia(samples, rate_hz),
        lambda: resample(samples, rate_hz),
        rounds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    if os.environ.get("OMP_NUM_THREADS") != "1":
        # Workers use one thread. numpy's BLAS has already read the variable, so start
        # this module again with it.
        command = [sys.executable, "-m", "benchmarks.front_end_speed", *sys.argv[1:]]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        sys.exit(subprocess.run(command, env=environment).returncode)
    frames = cut_frames(noise(SAMPLE_RATE_HZ))
    log_mel = compare(
        lambda: essentias_bands(frames), lambda: log_mel_bands(frames), rounds
    )
    rates = {str(rate_hz): compare_rate(rate_hz, rounds) for rate_hz in RATES_HZ}
    save(
        "front-end-speed",
        {"cores": 1, "seconds": _SECONDS, "log_mel": log_mel, "resample": rates},
    )


if __name__ == "__main__":
    main()
