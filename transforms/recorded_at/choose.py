"""Chooses the start of a recording among the times that several sources state."""

import dataclasses
import datetime
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from transforms.recorded_at.moments import moment, text_of, with_zone

# Where times come from: a column of the manifest, chunks of the file, its name.
SOURCES = ("column", "guano", "comment", "name")
CLOCK_NOT_SET, TIMES_DIFFER = "clock_not_set", "times_differ"
# Clocks of recorders that were never set start in 1970, in 1980 or on 1 January 2000.
_FIRST_SET_DAY = datetime.date(2000, 1, 2)
# Names have whole seconds, and recorders open files a moment before they record.
_TOLERANCE = datetime.timedelta(seconds=2)


@dataclasses.dataclass(frozen=True)
class TimeSettings:
    """How the start of a recording is found.

    Attributes:
        sources: Members of SOURCES; the first one that has a time counts.
        timezone: IANA name of the zone of times that state none, such as
            `Europe/Berlin`; None if they stay local times.
    """

    sources: tuple[str, ...] = SOURCES
    timezone: str | None = None

    @property
    def zone(self) -> ZoneInfo | None:
        return ZoneInfo(self.timezone) if self.timezone else None


@dataclasses.dataclass(frozen=True)
class RecordedAt:
    """The start of a recording.

    Attributes:
        text: ISO 8601 text; None if it is unknown.
        source: Member of SOURCES that stated it; None if it is unknown.
        flags: Flags of the clip: CLOCK_NOT_SET, TIMES_DIFFER, both or none.
    """

    text: str | None = None
    source: str | None = None
    flags: tuple[str, ...] = ()


def choose(stated: Mapping[str, str | None], settings: TimeSettings) -> RecordedAt:
    """Chooses one of the times that sources state, and compares them.

    A time of a clock that was not set is not used. The column is used as it is:
    somebody wrote it, and the recording may be old.

    Args:
        stated: ISO 8601 texts by source.
        settings: Which sources count, in which order.
    """
    times = {}
    for source in settings.sources:
        time = moment(stated.get(source) or "")
        if time is not None:
            times[source] = time
    is_set = {s: s == "column" or t.date() >= _FIRST_SET_DAY for s, t in times.items()}
    used = [source for source in times if is_set[source]]
    zone = settings.zone
    flags = [] if all(is_set.values()) else [CLOCK_NOT_SET]
    if any(
        _differ(times[first], times[second], zone)
        for index, first in enumerate(used)
        for second in used[index + 1 :]
    ):
        flags.append(TIMES_DIFFER)
    if not used:
        return RecordedAt(flags=tuple(flags))
    text = text_of(times[used[0]])
    return RecordedAt(with_zone(text, zone) if zone else text, used[0], tuple(flags))


def _differ(
    first: datetime.datetime, second: datetime.datetime, zone: ZoneInfo | None
) -> bool:
    """Whether two times cannot be those of one moment.

    A local time may be that of the zone of the other one, that of UTC, which recorders
    often use, or that of the stated zone.
    """
    if (first.tzinfo is None) == (second.tzinfo is None):
        return abs(first - second) > _TOLERANCE
    local, other = (first, second) if first.tzinfo is None else (second, first)
    zones = [other.tzinfo, datetime.UTC, *([zone] if zone else [])]
    return all(abs(local.replace(tzinfo=z) - other) > _TOLERANCE for z in zones)
