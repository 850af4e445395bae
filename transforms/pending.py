"""HoldShards: lets a worker prepare a shard while a device computes the one before.

Beam calls the steps of a worker one after the other, in one thread. RunModels therefore
passes on shards whose predictions are pending, and this step holds each one back until
the next one has been prepared.
"""

import dataclasses
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam import coders
from apache_beam.utils.windowed_value import WindowedValue

from transforms.elements import Shard
from transforms.job_control.status import report_device


class StartedShard:
    """A shard on which the models were started.

    Args:
        finish: Returns the shard with its predictions; waits for a device if need be.

    Attributes:
        is_pending: Whether a device computes, and the worker may do other work.
    """

    def __init__(self, finish: Callable[[], Shard], is_pending: bool) -> None:
        self.is_pending = is_pending
        self._finish: Callable[[], Shard] | None = finish
        self._shard: Shard | None = None

    def result(self) -> Shard:
        """The shard with its predictions.

        Raises:
            Exception: what an engine raised.
        """
        if self._finish:
            self._shard = self._finish()
            # It holds the patches, which are no longer needed.
            self._finish = None
        assert self._shard
        return self._shard


class _StartedShardCoder(coders.Coder):
    """Writes the finished shard, if a runner takes it to another process."""

    def encode(self, value: StartedShard) -> bytes:
        return pickle.dumps(value.result())

    def decode(self, encoded: bytes) -> StartedShard:
        shard: Shard = pickle.loads(encoded)
        return StartedShard(lambda: shard, is_pending=False)

    def is_deterministic(self) -> bool:
        return False

    def estimate_size(self, value: StartedShard) -> int:
        # Beam wants the sizes of some elements, and would encode them: it would wait
        # for the device.
        return 1


coders.registry.register_coder(StartedShard, _StartedShardCoder)


class _HoldDoFn(beam.DoFn):
    """Holds one pending shard back. Others pass at once, after the one that is held."""

    def __init__(self) -> None:
        self._held: WindowedValue | None = None

    def start_bundle(self) -> None:
        # A bundle that failed is done again, with its shards.
        self._hold(None)

    def process(
        self,
        shard: StartedShard,
        timestamp: Any = beam.DoFn.TimestampParam,
        window: Any = beam.DoFn.WindowParam,
    ) -> Iterator[WindowedValue]:
        earlier, this = self._held, WindowedValue(shard, timestamp, [window])
        self._hold(this if shard.is_pending else None)
        if earlier:
            yield _finished(earlier)
        if not shard.is_pending:
            yield _finished(this)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._held:
            last = _finished(self._held)
            self._hold(None)
            yield last

    def _hold(self, shard: WindowedValue | None) -> None:
        if self._held and not shard:
            report_device(False)
        self._held = shard


def _finished(shard: WindowedValue) -> WindowedValue:
    return shard.with_value(shard.value.result())


@dataclasses.dataclass
class HoldShards(beam.PTransform):
    """Passes on each shard that a device computes when the next one was prepared.

    Input: StartedShard. Output: Shard with predictions, in the same order and windows.
    """

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        # Otherwise the shards have Beam's coder for objects of any kind.
        shards.element_type = StartedShard
        return shards | "Hold" >> beam.ParDo(_HoldDoFn()).with_output_types(Shard)
