"""Times as texts: offsets, zones, and which of several sources counts."""

import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.recorded_at.choose import RecordedAt, TimeSettings, choose
from transforms.recorded_at.moments import moment, offset_of, text_of, with_zone

LOCAL = "2024-06-11T05:30:00"
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LOCAL, LOCAL),
        ("2024-06-11 05:30:00", LOCAL),
        ("2024-06-11T05:30", LOCAL),
        ("20240611T053000", LOCAL),
        ("20240611T053000.5Z", f"{LOCAL}.500+00:00"),
        (f"{LOCAL}Z", f"{LOCAL}+00:00"),
        (f"{LOCAL}+02:00", f"{LOCAL}+02:00"),
        (f"{LOCAL}-0330", f"{LOCAL}-03:30"),
        (f"{LOCAL}+02", f"{LOCAL}+02:00"),
        (f"{LOCAL}.123456789", f"{LOCAL}.123456"),
        (f"{LOCAL},25", f"{LOCAL}.250"),
    ],
)
def test_texts_are_read_and_written(text: str, expected: str) -> None:
    time = moment(text)
    assert time and text_of(time) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-06-11",
        "20240611",
        "05:30:00",
        "2024-W24-2T05:30",
        "2024-02-30T05:30:00",
        "2024-06-11T25:00:00",
        "2024-06-11T05:30:60",
        "11/06/2024 05:30:00",
        "2024-06-11T05:30:00 CEST",
        "2024-06-11T05",
        "noon",
    ],
)
def test_other_texts_are_no_times(text: str) -> None:
    assert moment(text) is None
    assert with_zone(text, BERLIN) == text


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (LOCAL, f"{LOCAL}+02:00"),
        ("2024-01-01T00:00:00", "2024-01-01T00:00:00+01:00"),
        ("2023-12-31T23:59:59.500", "2023-12-31T23:59:59.500+01:00"),
        # Clocks go forward at 02:00.
        ("2024-03-31T01:59:59", "2024-03-31T01:59:59+01:00"),
        ("2024-03-31T02:30:00", "2024-03-31T02:30:00+01:00"),
        ("2024-03-31T03:00:00", "2024-03-31T03:00:00+02:00"),
        # Clocks go back at 03:00: the first of the two.
        ("2024-10-27T02:30:00", "2024-10-27T02:30:00+02:00"),
        ("2024-10-27T03:00:00", "2024-10-27T03:00:00+01:00"),
        # A stated offset stays.
        (f"{LOCAL}+05:30", f"{LOCAL}+05:30"),
    ],
)
def test_daylight_saving(local: str, expected: str) -> None:
    assert with_zone(local, BERLIN) == expected


def test_zones_with_parts_of_hours_and_in_the_south() -> None:
    zones = {"Asia/Kathmandu": "+05:45", "America/St_Johns": "-02:30"}
    zones |= {"Australia/Lord_Howe": "+10:30", "UTC": "+00:00"}
    for name, offset in zones.items():
        assert with_zone(LOCAL, ZoneInfo(name)) == LOCAL + offset


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("+2", 120), ("-03", -180), ("+0530", 330), ("+5:30", 330), ("-0:30", -30),
     ("+00", 0), ("+14:00", 840), ("-12-00", -720)],
)  # fmt: skip
def test_offsets(text: str, minutes: int) -> None:
    assert offset_of(text) == datetime.timezone(datetime.timedelta(minutes=minutes))


@pytest.mark.parametrize(
    "text", ["", "2", "+0001", "+15", "+14:15", "-0400x", "+05:90"]
)
def test_what_is_no_offset(text: str) -> None:
    assert offset_of(text) is None


AWARE = st.datetimes(
    datetime.datetime(1900, 1, 2),
    datetime.datetime(2100, 1, 1),
    timezones=st.one_of(
        st.none(),
        st.integers(-48, 56).map(
            lambda quarters: datetime.timezone(
                datetime.timedelta(minutes=15 * quarters)
            )
        ),
    ),
)


@given(AWARE)
def test_a_written_time_is_read_back(time: datetime.datetime) -> None:
    assert moment(text_of(time)) == time


@given(AWARE, st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata"]))
def test_a_zone_keeps_the_reading_of_the_clock(
    time: datetime.datetime, name: str
) -> None:
    found = moment(with_zone(text_of(time), ZoneInfo(name)))
    assert found and found.tzinfo
    assert found.replace(tzinfo=None) == time.replace(tzinfo=None)


NAME, GUANO = {"name": LOCAL}, {"guano": f"{LOCAL}+02:00"}


def test_the_first_source_with_a_time_wins() -> None:
    stated = {"column": f"{LOCAL}.250", "comment": f"{LOCAL}Z", **GUANO, **NAME}
    assert choose({}, TimeSettings()) == RecordedAt()
    assert choose(NAME, TimeSettings()) == RecordedAt(LOCAL, "name")
    found = choose(stated, TimeSettings(("name", "guano")))
    assert found == RecordedAt(LOCAL, "name")
    found = choose({**stated, "guano": None}, TimeSettings(("guano", "column")))
    assert found == RecordedAt(f"{LOCAL}.250", "column")


def test_only_local_times_get_the_zone() -> None:
    settings = TimeSettings(timezone="America/New_York")
    assert choose(NAME, settings) == RecordedAt(f"{LOCAL}-04:00", "name")
    assert choose(GUANO, settings) == RecordedAt(f"{LOCAL}+02:00", "guano")


@pytest.mark.parametrize(
    ("column", "name", "timezone", "differ"),
    [
        (LOCAL, "2024-06-11T05:30:02", None, False),
        (LOCAL, "2024-06-11T05:30:03", None, True),
        (LOCAL, "2024-06-11T06:30:00", "Europe/Berlin", True),
        # The same moment, with two offsets.
        (f"{LOCAL}+02:00", "2024-06-11T03:30:00+00:00", None, False),
        (f"{LOCAL}+02:00", f"{LOCAL}+00:00", None, True),
        # A local time is that of the other's clock, that of UTC, or that of the zone.
        (f"{LOCAL}+02:00", LOCAL, None, False),
        (f"{LOCAL}+02:00", "2024-06-11T03:30:01", None, False),
        (f"{LOCAL}+02:00", "2024-06-11T04:30:00", None, True),
        ("2024-06-11T03:30:00Z", LOCAL, None, True),
        ("2024-06-11T03:30:00Z", LOCAL, "Europe/Berlin", False),
        # Across the end of a year.
        ("2024-01-01T00:30:00+01:00", "2023-12-31T23:30:00", None, False),
    ],
)
def test_sources_that_contradict_each_other(
    column: str, name: str, timezone: str | None, differ: bool
) -> None:
    settings = TimeSettings(timezone=timezone)
    flags = ("times_differ",) if differ else ()
    for stated in ({"column": column, "name": name}, {"column": name, "name": column}):
        found = choose(stated, settings)
        assert (found.source, found.flags) == ("column", flags)
    # A local time may have the offset of a third source.
    third = {"column": f"{LOCAL}-04:00", "guano": "2024-06-11T09:30:00Z", **NAME}
    assert choose(third, TimeSettings()).flags == ()
    assert choose({**third, "column": None}, TimeSettings()).flags == ("times_differ",)
    # A source that is not asked does not contradict.
    found = choose(stated, TimeSettings(("name",)))
    assert found.flags == ()


@pytest.mark.parametrize(
    "unset", ["1970-01-01T00:00:12", "1980-01-01T00:10:00", "2000-01-01T03:00:00+00:00"]
)
def test_a_clock_that_was_not_set(unset: str) -> None:
    for source in ("guano", "comment", "name"):
        found = choose({source: unset}, TimeSettings(timezone="Europe/Berlin"))
        assert found == RecordedAt(flags=("clock_not_set",))
    found = choose({"guano": unset, **NAME}, TimeSettings())
    assert found == RecordedAt(LOCAL, "name", ("clock_not_set",))
    # Somebody wrote the column: the recording is old.
    assert choose({"column": unset}, TimeSettings()).text == unset


@given(st.datetimes(), st.datetimes(), st.sampled_from(["", "Z", "-12:00", "+14:00"]))
def test_any_times_can_be_compared(
    first: datetime.datetime, second: datetime.datetime, offset: str
) -> None:
    stated = {"column": text_of(first), "guano": text_of(second) + offset}
    found = choose(stated, TimeSettings(timezone="Europe/Berlin"))
    assert found.source == "column"
