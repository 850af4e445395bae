"""Plans a shift test: clips, each cut at several offsets, as the rows of a manifest.

A version of a clip is an excerpt of its file: the first samples are left out, as many
as its offset says. All versions of a clip are equally long, so that they have the same
number of patches.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.console import counted
from pipeline.errors import ConfigError
from pipeline.inputs.cut import Length, measure_files
from pipeline.inputs.excerpts import END, START
from transforms.front_end.mel import NUM_MELS
from transforms.front_end.patches import DEFAULT_PATCHES
from transforms.schemas import PATCH_DURATION_S

# The clip that a row is a version of, and the offset of the version in milliseconds.
SHIFT_OF, OFFSET_MS = "shift_of", "offset_ms"
# From one sample at 48 kHz to the distance between two patches.
DEFAULT_OFFSETS_MS = (
    *(0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 40.0),
    *(50.0, 60.0, 70.0, 80.0, 100.0, 150.0, 200.0, 300.0),
    round(DEFAULT_PATCHES.hop_s * 1000, 2),
)
_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string()),
        pa.field("uri", pa.string()),
        pa.field(START, pa.float64()),
        pa.field(END, pa.float64()),
        pa.field(SHIFT_OF, pa.string()),
        pa.field(OFFSET_MS, pa.float64()),
    ]
)
_NUM_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class ShiftSettings:
    """Which clips are shifted, and how far.

    Attributes:
        num_clips: Number of clips to draw.
        offsets_ms: Offsets in milliseconds, increasing.
        seed: Seed of the draw.
        num_bins: Number of mel bins by which clips are shifted up and down, at most.

    Raises:
        ConfigError: if a value is out of range.
    """

    num_clips: int = 200
    offsets_ms: tuple[float, ...] = DEFAULT_OFFSETS_MS
    seed: int = 0
    num_bins: int = 0

    def __post_init__(self) -> None:
        if self.num_clips < 1:
            raise ConfigError(f"clips is {self.num_clips}, expected 1 or more")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}, expected 0 or more")
        if not 0 <= self.num_bins < NUM_MELS:
            raise ConfigError(f"bins is {self.num_bins}, expected 0 to {NUM_MELS - 1}")
        increasing = [*dict.fromkeys(sorted(self.offsets_ms))]
        in_range = increasing and 0 < increasing[0] and increasing[-1] < math.inf
        if not in_range or increasing != [*self.offsets_ms]:
            raise ConfigError(
                f"offsets is {','.join(f'{x:g}' for x in self.offsets_ms) or 'empty'}, "
                "expected increasing numbers of milliseconds above 0"
            )

    @property
    def bins(self) -> tuple[int, ...]:
        """The shifts in mel bins: up to `num_bins` down, and as many up."""
        return tuple(x for x in range(-self.num_bins, self.num_bins + 1) if x)

    @property
    def shortest_s(self) -> float:
        """Duration below which a clip is left out.

        A version that is shorter than a patch would be filled up by repetition.
        """
        return PATCH_DURATION_S + self.offsets_ms[-1] / 1000


@dataclasses.dataclass(frozen=True)
class ShiftPlan:
    """The versions to compute.

    Attributes:
        table: The manifest. A file that cannot be read has one row without offset, so
            that the ledger says why.
        num_clips: Number of clips that are shifted.
        too_short: clip_ids that were drawn and left out, because they are too short.
        unread: clip_ids that were drawn and have no known length, and why.
    """

    table: pa.Table
    num_clips: int
    too_short: tuple[str, ...]
    unread: Mapping[str, str]

    @property
    def unshifted(self) -> pa.Table:
        """The rows of the manifest that start at offset 0."""
        return self.table.filter(pc.equal(self.table[OFFSET_MS], 0))

    def notes(self, settings: ShiftSettings) -> list[str]:
        """Sentences about what is computed and what is left out."""
        versions = counted(len(settings.offsets_ms) + 1, "version", "versions")
        notes = [f"{counted(self.num_clips)} to shift, each in {versions}"]
        if self.too_short:
            notes.append(
                f"{counted(len(self.too_short))} left out, shorter than "
                f"{settings.shortest_s:.2f} s (a patch and the largest offset)"
            )
        if self.unread:
            shown = [f"{name} ({why})" for name, why in self.unread.items()]
            more = ", ..." if len(shown) > _NUM_SHOWN else ""
            notes.append(
                f"{counted(len(shown))} left out, whose length is not known: "
                f"{', '.join(shown[:_NUM_SHOWN])}{more}"
            )
        return notes


def plan_shifts(table: pa.Table, settings: ShiftSettings) -> ShiftPlan:
    """Draws clips, and plans their versions.

    The draw does not depend on the order of the rows.

    Args:
        table: Manifest table of `read_inputs`.
        settings: Settings of the test.

    Raises:
        ConfigError: if no clip can be shifted.
    """
    versions: dict[str, list[dict[str, Any]]] = {}
    too_short: list[str] = []
    unread: dict[str, str] = {}
    for row, length in _drawn(table, settings):
        name = row["clip_id"]
        if not isinstance(length, Length):
            unread[name] = length
            continue
        if found := versions_of(row, length, settings):
            versions[name] = found
        else:
            too_short.append(name)
        if len(versions) == settings.num_clips:
            break
    plan = ShiftPlan(
        _table(table, versions, unread), len(versions), tuple(too_short), unread
    )
    if not versions:
        raise ConfigError(
            "; ".join(["no clip can be shifted", *plan.notes(settings)[1:]])
        )
    return plan


def versions_of(
    row: Mapping[str, Any], length: Length, settings: ShiftSettings
) -> list[dict[str, Any]]:
    """Returns the manifest rows of the versions of a clip, the unshifted one first.

    Args:
        row: Row of the clip; it may be an excerpt.
        length: Length of its file.
        settings: Settings of the test.

    Returns:
        The rows; none if the clip is too short.
    """
    rate = length.sample_rate_hz
    first = round((row.get(START) or 0.0) * rate)
    # Rounding errors of the duration are far smaller than this.
    end = math.floor((length.duration_s - length.slack_s) * rate + 0.01)
    if row.get(END) is not None:
        end = min(end, round(row[END] * rate))
    # A shift by less than half a sample would be none.
    shifts = [0, *(max(1, round(x / 1000 * rate)) for x in settings.offsets_ms)]
    num_samples = end - first - shifts[-1]
    if num_samples < PATCH_DURATION_S * rate:
        return []
    return [
        {
            "clip_id": f"{row['clip_id']}+{offset_ms:g}ms",
            "uri": row["uri"],
            START: (first + shift) / rate,
            END: (first + shift + num_samples) / rate,
            SHIFT_OF: row["clip_id"],
            OFFSET_MS: offset_ms,
        }
        for offset_ms, shift in zip((0.0, *settings.offsets_ms), shifts, strict=True)
    ]


def _drawn(
    table: pa.Table, settings: ShiftSettings
) -> Iterator[tuple[dict[str, Any], Length | str]]:
    """Yields rows in random order, with the lengths of their files."""
    names = [x for x in ("clip_id", "uri", START, END) if x in table.column_names]
    table = table.select(names).sort_by("clip_id")
    order = np.random.default_rng(settings.seed).permutation(table.num_rows)
    # Lengths are measured as they are needed: a corpus may have many more files.
    for begin in range(0, len(order), settings.num_clips):
        rows = table.take(order[begin : begin + settings.num_clips]).to_pylist()
        yield from zip(rows, measure_files([row["uri"] for row in rows]), strict=True)


def _table(
    table: pa.Table,
    versions: Mapping[str, list[dict[str, Any]]],
    unread: Mapping[str, str],
) -> pa.Table:
    """The manifest, with the clips in the order of `table`."""
    rows: list[dict[str, Any]] = []
    for name, uri in zip(
        *(table[x].to_pylist() for x in ("clip_id", "uri")), strict=True
    ):
        rows += versions.get(name, [])
        if name in unread:
            rows.append({"clip_id": name, "uri": uri, SHIFT_OF: name})
    return pa.Table.from_pylist(rows, _SCHEMA)
