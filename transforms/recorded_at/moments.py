"""Reads and writes times as ISO 8601 texts, with an offset or as local times without.

A local time is a reading of a clock whose zone is unknown. It never gets the offset of
a zone that nobody stated.
"""

import datetime
import re
from zoneinfo import ZoneInfo

# The extended and the basic form, without week dates, ordinal dates and times alone.
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?"
    r"|\d{8}T\d{4}(\d\d([.,]\d+)?)?)"
    # Offsets before standard time have seconds.
    r"(Z|[+-]\d\d(:?\d\d(:?\d\d)?)?)?"
)
_OFFSET = re.compile(r"([+-])(\d\d?)[:_-]?(\d\d)?")
# Offsets of zones: -12:00 to +14:00, in quarters of an hour.
_MAX_HOURS, _QUARTER = 14, 15


def moment(text: str) -> datetime.datetime | None:
    """Reads an ISO 8601 text that has a date and a time of day.

    Returns:
        A time with the stated offset, or without one for a local time; None if the text
        is something else, such as a date alone or an impossible date.
    """
    if not _ISO.fullmatch(text):
        return None
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


def text_of(time: datetime.datetime) -> str:
    """The ISO 8601 text of a time: `2024-06-11T05:30:00`, with an offset if it has one.

    Fractions of a second have three digits, or six if three are not exact.
    """
    if not time.microsecond:
        return time.isoformat(timespec="seconds")
    is_exact = time.microsecond % 1000 == 0
    return time.isoformat(timespec="milliseconds" if is_exact else "microseconds")


def with_zone(text: str, zone: ZoneInfo) -> str:
    """Gives a local time the offset that a zone had at that time.

    A time that is repeated when clocks go back is taken for the first of the two. A
    time that is skipped when clocks go forward keeps the offset before the change: a
    clock that shows such a time was not changed.

    Args:
        text: ISO 8601 text.
        zone: Zone of the clock that showed a local time.

    Returns:
        The same reading of the clock, with an offset. A text with an offset, or one
        that `moment` does not read, is returned as it is.
    """
    time = moment(text)
    if time is None or time.tzinfo is not None:
        return text
    return text_of(time.replace(tzinfo=zone))


def offset_of(text: str) -> datetime.timezone | None:
    """Reads an offset such as `+2`, `-03`, `+0530` or `+5:30`.

    Returns:
        The offset; None if no zone of the world has it.
    """
    found = _OFFSET.fullmatch(text)
    if not found:
        return None
    hours, minutes = int(found[2]), int(found[3] or 0)
    if hours + minutes / 60 > _MAX_HOURS or minutes % _QUARTER or minutes >= 60:
        return None
    delta = datetime.timedelta(hours=hours, minutes=minutes)
    return datetime.timezone(-delta if found[1] == "-" else delta)
