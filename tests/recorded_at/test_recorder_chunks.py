"""Times in the chunks of WAV files, as recorders write them."""

import io
import pathlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.audio_files import (
    BY_AUDIOMOTH,
    add_chunks,
    audiomoth,
    chunk,
    comment,
    guano,
    make_readable,
    make_wav,
)
from training.synthesis.encode import encode
from transforms.recorded_at.chunks import (
    ChunkTimes,
    comment_time,
    guano_time,
    times_in_chunks,
)

LOCAL = "2024-06-11T05:30:00"
COMMENTS: dict[str, str] = {
    f"Recorded at 05:30:00 11/06/2024{BY_AUDIOMOTH}": LOCAL,
    f"Recorded at 05:30:00 11/06/2024 (UTC){BY_AUDIOMOTH}": f"{LOCAL}+00:00",
    f"Recorded at 05:30:00 11/06/2024 (UTC+2){BY_AUDIOMOTH}": f"{LOCAL}+02:00",
    f"Recorded at 05:30:00 11/06/2024 (UTC-3){BY_AUDIOMOTH}": f"{LOCAL}-03:00",
    f"Recorded at 05:30:00 11/06/2024 (UTC+5:30){BY_AUDIOMOTH}": f"{LOCAL}+05:30",
    f"Recorded at 05:30:00 11/06/2024 (UTC-3:30){BY_AUDIOMOTH}": f"{LOCAL}-03:30",
    f"Recorded at 05:30:00 11/06/2024 (UTC-0:30){BY_AUDIOMOTH}": f"{LOCAL}-00:30",
    f"Recorded at 05:30:00 11/06/2024 (UTC+12:45){BY_AUDIOMOTH}": f"{LOCAL}+12:45",
    "Recorded at 05:30:00 11/06/2024 (UTC) by AudioMoth 0001 at gain setting 2 while "
    "battery state was > 5.0V": f"{LOCAL}+00:00",
    "Recorded at 05:30:00 11/06/2024 (UTC+1) during deployment 0123456789ABCDEF by "
    "AudioMoth 24F319055FDF2F5B at medium gain.": f"{LOCAL}+01:00",
    "Recorded at 05:30:00.250 11/06/2024 (UTC) by AudioMoth Live": (
        f"{LOCAL}.250+00:00"
    ),
    "Recorded at 05:30:00 11/06/2024 (UTC) by HydroMoth 24F3.": f"{LOCAL}+00:00",
    f"Recorded at 23:59:59 31/12/2023 (UTC-11){BY_AUDIOMOTH}": (
        "2023-12-31T23:59:59-11:00"
    ),
}
NO_COMMENTS = [
    "",
    f"Recorded at 05:30:00 31/06/2024 (UTC){BY_AUDIOMOTH}",
    f"Recorded at 25:30:00 11/06/2024 (UTC){BY_AUDIOMOTH}",
    f"Recorded at 05:30 11/06/2024{BY_AUDIOMOTH}",
    # Another program may put the month first.
    "Recorded at 05:30:00 06/11/2024 by hand",
    "Dawn chorus",
]
STAMPS: dict[str, str] = {
    LOCAL: LOCAL,
    f"{LOCAL}Z": f"{LOCAL}+00:00",
    f"{LOCAL}+02:00": f"{LOCAL}+02:00",
    f"{LOCAL}-04:00": f"{LOCAL}-04:00",
    f"{LOCAL}.123": f"{LOCAL}.123",
    f"{LOCAL}.123456Z": f"{LOCAL}.123456+00:00",
    f"{LOCAL}.120+04:00": f"{LOCAL}.120+04:00",
    "2024-06-11 05:30:00": LOCAL,
    "  2024-06-11T05:30:00  \r": LOCAL,
}


@pytest.mark.parametrize("text", COMMENTS)
def test_comment(text: str) -> None:
    assert comment_time(text) == COMMENTS[text]


@pytest.mark.parametrize("text", NO_COMMENTS)
def test_comment_without_a_time(text: str) -> None:
    assert comment_time(text) is None


@pytest.mark.parametrize("stamp", STAMPS)
def test_guano(stamp: str, tmp_path: pathlib.Path) -> None:
    path = add_chunks(make_wav(tmp_path / "a.wav", 1001), after=[guano(stamp)])
    with open(path, "rb") as file:
        assert times_in_chunks(file) == ChunkTimes(guano=STAMPS[stamp])


@pytest.mark.parametrize(
    "content",
    [
        b"GUANO|Version: 1.0\nSB|Timestamp: 2024-06-11T05:30:00\n",
        b"GUANO|Version: 1.0\nNote: Timestamp: 2024-06-11T05:30:00",
        b"GUANO|Version: 1.0\ntimestamp: 2024-06-11T05:30:00",
        b"GUANO|Version: 1.0\nTimestamp: 2024-06-11",
        b"GUANO|Version: 1.0\nTimestamp: 2024-02-30T05:30:00",
        b"GUANO|Version: 1.0\nTimestamp:",
        b"\xff\xfe\x00",
        b"",
    ],
)
def test_guano_without_a_time(content: bytes) -> None:
    assert guano_time(content) is None


def test_guano_that_is_filled_up_to_a_fixed_size() -> None:
    text = f"GUANO|Version:1.0\n\n Timestamp :{LOCAL}Z\0\0"
    assert guano_time(text.encode().ljust(4096)) == f"{LOCAL}+00:00"


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("name", ["pcm16_44k.wav", "float_32k.wav", "unsigned8.wav"])
def test_both_chunks_before_and_after_the_samples(
    name: str, is_before: bool, tmp_path: pathlib.Path
) -> None:
    chunks = [audiomoth("05:30:00 11/06/2024 (UTC+2)"), guano(f"{LOCAL}+02:00")]
    path = make_readable(tmp_path, name, seconds=0.1)
    add_chunks(path, *((chunks, []) if is_before else ([], chunks)))
    with open(path, "rb") as file:
        assert times_in_chunks(file) == (f"{LOCAL}+02:00", f"{LOCAL}+02:00")


def test_other_lists_and_chunks_are_passed_over(tmp_path: pathlib.Path) -> None:
    others = [
        chunk(b"LIST", b"adtl" + chunk(b"labl", b"xxxxICMT")),
        chunk(b"LIST", b"INFO" + chunk(b"INAM", b"odd") + chunk(b"ISFT", b"Lavf")),
        chunk(b"wamd", bytes(301)),
        comment("Dawn chorus"),
    ]
    path = make_wav(tmp_path / "a.wav", 1000)
    add_chunks(path, others, [*others, audiomoth("05:30:00 11/06/2024 (UTC)")])
    with open(path, "rb") as file:
        assert times_in_chunks(file) == ChunkTimes(comment=f"{LOCAL}+00:00")


def test_chunk_after_odd_samples_without_a_filling_byte(tmp_path: pathlib.Path) -> None:
    path = make_readable(tmp_path, "unsigned8.wav", seconds=0.1)
    data = path.read_bytes()
    at = data.index(b"data")
    size = struct.pack("<I", 1001)
    samples = data[at + 8 : at + 8 + 1001]
    path.write_bytes(data[: at + 4] + size + samples + guano(LOCAL))
    with open(path, "rb") as file:
        assert times_in_chunks(file) == ChunkTimes(guano=LOCAL)


def test_rf64(tmp_path: pathlib.Path) -> None:
    path = make_wav(tmp_path / "a.wav", 1000)
    data = path.read_bytes()
    at = data.index(b"data")
    sizes = struct.pack("<QQQI", 0, 2000, 1000, 0)
    content = data[at + 8 : at + 8 + 2000]
    unknown = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(
        b"RF64" + unknown + b"WAVE" + chunk(b"ds64", sizes) + data[12:at]
        + b"data" + unknown + content + guano(f"{LOCAL}Z")
    )  # fmt: skip
    with open(path, "rb") as file:
        assert times_in_chunks(file) == ChunkTimes(guano=f"{LOCAL}+00:00")


@pytest.mark.parametrize(
    ("name", "codec"), [("a.flac", "flac"), ("a.aiff", "pcm_s16be"), ("a.au", "pcm_u8")]
)
def test_other_formats_have_no_such_chunks(
    name: str, codec: str, tmp_path: pathlib.Path
) -> None:
    if codec == "pcm_u8":
        (tmp_path / name).write_bytes(b".snd" + bytes(100))
    else:
        samples = [[0.0] * 22050]
        encode(tmp_path / name, samples, 22050, codec)  # type: ignore[arg-type]
    with open(tmp_path / name, "rb") as file:
        assert times_in_chunks(file) == ChunkTimes()


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_any_bytes_give_a_result(noise: bytes, size: int) -> None:
    head = b"RIFF\0\0\0\0WAVE"
    for data in (noise, head + noise, head + b"data" + struct.pack("<I", size) + noise):
        times_in_chunks(io.BytesIO(data))


def test_few_bytes_are_read(tmp_path: pathlib.Path) -> None:
    class Counted(io.FileIO):
        num_bytes = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.num_bytes += len(data)
            return data

    path = make_wav(tmp_path / "a.wav", 100_000)
    moth = audiomoth("05:30:00 11/06/2024 (UTC)")
    add_chunks(path, [moth], [guano(LOCAL), chunk(b"wamd", bytes(50_000))])
    with Counted(path) as file:
        assert times_in_chunks(file) == (LOCAL, f"{LOCAL}+00:00")
        assert file.num_bytes < 1000
