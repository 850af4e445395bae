"""Beam counters of this package: outcomes, and the time that each step takes."""

import collections
import contextlib
import time
from collections.abc import Iterator
from typing import Any

from apache_beam.metrics import Metrics

METRICS_NAMESPACE = "fsdsinet"


def count(name: str, number: int = 1) -> None:
    """Adds to a Beam counter in the namespace of this package."""
    Metrics.counter(METRICS_NAMESPACE, name).inc(number)


@contextlib.contextmanager
def timed(step: str) -> Iterator[None]:
    """Adds the time that the block takes to the counter `<step>_us`."""
    start = time.perf_counter_ns()
    try:
        yield
    finally:
        count(f"{step}_us", (time.perf_counter_ns() - start) // 1000)


def our_counters(result: Any) -> dict[str, int]:
    """The counters of this package in a finished Beam PipelineResult, by name."""
    totals = collections.Counter[str]()
    for counter in result.metrics().query()["counters"]:
        if counter.key.metric.namespace == METRICS_NAMESPACE:
            # Several steps may count the same: clips and recordings, for instance.
            totals[counter.key.metric.name] += counter.committed
    return dict(totals)
