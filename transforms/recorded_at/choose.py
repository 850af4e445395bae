"""Chooses the start of a recording among the times that several sources state."""

import dataclasses
import datetime
from collections.abc import Mapping
from zoneinfo import ZoneInfo, available_timezones

from transforms.errors import did_you_mean, unknown_value
from transforms.recorded_at.moments import moment, text_of, with_zone

RECORDED_AT_COLUMN = "recorded_at"
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

    Raises:
        ValueError: if sources are unknown, missing or named twice, or there is no such
            zone.
    """

    sources: tuple[str, ...] = SOURCES
    timezone: str | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.sources if name not in SOURCES]
        if unknown:
            raise ValueError(unknown_value("time_from", unknown[0], SOURCES))
        if not self.sources or len({*self.sources}) < len(self.sources):
            raise ValueError(
                f"time_from is {','.join(self.sources) or 'empty'}, expected one or "
                f"more of: {', '.join(SOURCES)} (each once)"
            )
        try:
            self.zone  # noqa: B018
        except (KeyError, ValueError, OSError) as error:
            hint = did_you_mean(self.timezone or "", available_timezones())
            raise ValueError(
                f"timezone is {self.timezone!r}, expected a name of the IANA time zone "
                f"database, such as Europe/Berlin{hint and '; ' + hint}"
            ) from error

    @property
    def zone(self) -> ZoneInfo | None:
        return None if self.timezone is None else ZoneInfo(self.timezone)


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
    read = ((source, moment(stated.get(source) or "")) for source in settings.sources)
    times = {source: time for source, time in read if time is not None}
    used = {s: t for s, t in times.items() if s == "column" or _is_set(t)}
    zone = settings.zone
    flags = [CLOCK_NOT_SET] if len(used) < len(times) else []
    if _contradict([*used.values()], zone):
        flags.append(TIMES_DIFFER)
    for source, time in used.items():
        text = text_of(time)
        return RecordedAt(with_zone(text, zone) if zone else text, source, tuple(flags))
    return RecordedAt(flags=tuple(flags))


def _is_set(time: datetime.datetime) -> bool:
    return time.date() >= _FIRST_SET_DAY


def _contradict(times: list[datetime.datetime], zone: ZoneInfo | None) -> bool:
    """Whether two of the times cannot be those of one moment.

    A local time may be that of any offset that another source states, that of UTC,
    which recorders often use, or that of the zone that the user states.
    """
    zones = {datetime.UTC, zone, *(time.tzinfo for time in times)} - {None}
    return any(
        _differ(first, second, zones)
        for index, first in enumerate(times)
        for second in times[index + 1 :]
    )


def _differ(
    first: datetime.datetime,
    second: datetime.datetime,
    zones: set[datetime.tzinfo | None],
) -> bool:
    if (first.tzinfo is None) == (second.tzinfo is None):
        return abs(first - second) > _TOLERANCE
    local, other = (first, second) if first.tzinfo is None else (second, first)
    return all(abs(local.replace(tzinfo=z) - other) > _TOLERANCE for z in zones)
