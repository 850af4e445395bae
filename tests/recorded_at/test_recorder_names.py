"""Times in the names of files, as recorders write them."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.recorded_at.names import time_in_name

LOCAL = "2024-06-11T05:30:00"
# name -> its time.
NAMES: dict[str, str] = {
    "SITE_20240611_053000.wav": LOCAL,
    "S4A01234_20240611_053000.wav": LOCAL,
    "2MM01234_20240611_053000.wav": LOCAL,
    "SMU01234_20240611_053000_000.wav": LOCAL,
    "SITE_0+1_20240611_053000.wav": LOCAL,
    "SITE_20240611_053000_123456.wav": LOCAL,
    "ARIZONA-1_20161023$195550.wav": "2016-10-23T19:55:50",
    "NoID_20240611_053000.wav": LOCAL,
    "20240611_053000.WAV": LOCAL,
    "20240611_053000T.WAV": LOCAL,
    "5E90A4D4.WAV": "2020-04-10T16:54:44+00:00",
    "5BFFFFFF.flac": "2018-11-29T15:04:31+00:00",
    "S1085_20240611_053000.wav": LOCAL,
    "S1085_20240611_053000Z.wav": f"{LOCAL}+00:00",
    "S1085_20240611_053000(UTC-5).wav": f"{LOCAL}-05:00",
    "S1085_20240611_053000_UTC+5:30.wav": f"{LOCAL}+05:30",
    "20240611T053000+1000_REC.flac": f"{LOCAL}+10:00",
    "20190827T053000-0400_Rec.flac": "2019-08-27T05:30:00-04:00",
    "20240611T053000+1000_-12.34567+78.98102.wav": f"{LOCAL}+10:00",
    "S20240611T053000.123+1000_E20240611T060000.456+1000.wav": (f"{LOCAL}.123+10:00"),
    "2024-06-11T05_30_00+0200.wav": f"{LOCAL}+02:00",
    "2024-06-11T05_30_00.000Z.mp3": f"{LOCAL}+00:00",
    "2024-06-11T05-30-00Z.wav": f"{LOCAL}+00:00",
    "2024-06-11T05-30-00-03-30.wav": f"{LOCAL}-03:30",
    "20240611T053000+0100.wav": f"{LOCAL}+01:00",
    "20240611T053000+01.wav": f"{LOCAL}+01:00",
    "ICLISTENHF1234_20240611T053000.500Z.wav": f"{LOCAL}.500+00:00",
    "AMAR123.20240611T053000Z.wav": f"{LOCAL}+00:00",
    "2024-06-11_05-30-00.wav": LOCAL,
    "2024-06-11 05-30-00.wav": LOCAL,
    "2024_06_11_05_30_00.wav": LOCAL,
    "T2024-06-11_05-30-00_0000123.wav": LOCAL,
    "2020-04-06-04-00-00-UTC.wav": "2020-04-06T04:00:00+00:00",
    "2024-06-11-birdnet-05:30:00.wav": LOCAL,
    "2024-06-11-birdnet-RTSP_1-05:30:00.wav": LOCAL,
    "Pica_pica-78-2024-06-11-birdnet-05:30:00.mp3": LOCAL,
    "5678.240611053000.wav": LOCAL,
    "20240611 053000.m4a": LOCAL,
    "SITE_20231231_235959.wav": "2023-12-31T23:59:59",
    "SITE_20240229_000000.wav": "2024-02-29T00:00:00",
    "SITE_19700101_000012.wav": "1970-01-01T00:00:12",
    # The same time twice.
    "20240611_053000_20240611_053000.wav": LOCAL,
    # What may be a counter is no offset.
    "20240611_053000-0400.wav": LOCAL,
    "20240611T053000-04.wav": LOCAL,
    "20240611T053000+0001.wav": LOCAL,
    "SITE_20240611_053000UTC-001.wav": LOCAL,
}
NO_TIME = [
    "240611_0012.wav",
    "240611-053000.wav",
    "20240611_0012.wav",
    "20240611.wav",
    "2024-06-11.wav",
    "SITE_20240611_0530.wav",
    "SITE_20240230_053000.wav",
    "SITE_20230229_053000.wav",
    "SITE_20241311_053000.wav",
    "SITE_20240611_245959.wav",
    "SITE_20240611_053060.wav",
    "SITE_120240611_053000.wav",
    "SITE_20240611_0530001.wav",
    "20240601_120000_20240611_053000.wav",
    "12345678.wav",
    "10160435.wav",
    "5e90a4d4.wav",
    "DEADBEEF.wav",
    "0000003C.WAV",
    "5E90A4D4F.WAV",
    "X5E90A4D4.WAV",
    "1718083800.wav",
    "346534__user__morning-birds.wav",
    "100032.wav",
    "TASCAM_0012.wav",
    "0001_2e1709263_Test0001.wav",
    "5678.241311053000.wav",
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_time_in_name(name: str) -> None:
    assert time_in_name(f"/data/20200101_000000/{name}") == NAMES[name]


@pytest.mark.parametrize("name", NO_TIME)
def test_no_time_in_name(name: str) -> None:
    assert time_in_name(f"/data/20200101_000000/{name}") is None


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/site/2024-06-11T05:30:00+02:00.wav",
        "file:///in/caf%E9_2024-06-11T05%3A30%3A00%2B02%3A00.wav",
        "https://host/a/2024-06-11T05%3A30%3A00%2B02%3A00.wav?x=20200101_000000",
    ],
)
def test_escapes_and_queries_of_uris(uri: str) -> None:
    assert time_in_name(uri) == "2024-06-11T05:30:00+02:00"


SECONDS = st.datetimes(
    datetime.datetime(1990, 1, 1), datetime.datetime(2099, 12, 31, 23, 59, 59)
).map(lambda time: time.replace(microsecond=0))


@given(SECONDS, st.sampled_from(["%Y%m%d_%H%M%S", "%Y-%m-%dT%H-%M-%S"]))
def test_every_time_is_found(time: datetime.datetime, form: str) -> None:
    assert time_in_name(f"SITE_{time.strftime(form)}.wav") == time.isoformat()


@given(st.text(st.sampled_from("0123456789_-T.+ZUTCSE:"), max_size=40))
def test_any_name_has_a_time_or_none(name: str) -> None:
    text = time_in_name(name)
    assert text is None or datetime.datetime.fromisoformat(text)
