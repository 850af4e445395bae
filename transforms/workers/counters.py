"""Counts what is done and times the steps, as Beam counters of ours."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from apache_beam.metrics import Metrics

from transforms.workers.status import add_done

METRICS_NAMESPACE = "fsdsinet"


def report_done(error_type: str | None, num_patches: int, audio_s: float) -> None:
    """Counts a finished clip, with an error type if it failed; also in the status."""
    failed = error_type is not None
    count("clips")
    count(f"clips_failed_{error_type}" if failed else "clips_ok")
    count("patches", num_patches)
    add_done(failed, num_patches, audio_s)


def count(name: str, number: int = 1) -> None:
    """Adds to a Beam counter of ours."""
    Metrics.counter(METRICS_NAMESPACE, name).inc(number)


@contextlib.contextmanager
def timed(step: str) -> Iterator[None]:
    """Adds the time of the block to the counter `<step>_us`."""
    start = time.perf_counter_ns()
    try:
        yield
    finally:
        count(f"{step}_us", (time.perf_counter_ns() - start) // 1000)


def our_counters(result: Any) -> dict[str, int]:
    """Our counters of a Beam PipelineResult that is done, by name."""
    return {
        counter.key.metric.name: counter.committed
        for counter in result.metrics().query()["counters"]
        if counter.key.metric.namespace == METRICS_NAMESPACE
    }
