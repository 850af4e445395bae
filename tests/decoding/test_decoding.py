"""Decoding of healthy, odd and broken files."""

import io
import os
import pathlib
import struct
import wave

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.audio_files import READABLE, make_readable, make_wav, signal
from training.synthesis.encode import encode
from transforms.audio import decode_audio, decode_shard
from transforms.decoding.ffmpeg import decode_file
from transforms.decoding.mixing import DecodedAudio, mix_samples
from transforms.elements import Clip, ClipError, Shard


def decode(path: pathlib.Path) -> DecodedAudio:
    with open(path, "rb") as file:
        return decode_file("clip", file)


def error_of(path: pathlib.Path | str) -> ClipError:
    with pytest.raises(ClipError) as caught:
        decode_audio(Clip("my clip", str(path)))
    assert "my clip" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("a.opus", "libopus", 48000),
        ("ms.wav", "adpcm_ms", 22050),
        ("ima.wav", "adpcm_ima_wav", 22050),
    ],
)
def test_codecs_that_crash_monoloader_are_decoded(
    tmp_path: pathlib.Path, name: str, codec: str, rate_hz: int
) -> None:
    samples = signal(rate_hz, rate_hz)
    audio = decode(encode(tmp_path / name, samples, rate_hz, codec))
    assert abs(len(audio.samples) - rate_hz) < 2500
    num_common = min(len(audio.samples), rate_hz) - 2000
    correlation = np.corrcoef(audio.samples[:num_common], samples[0, :num_common])
    assert correlation[0, 1] > 0.9


def test_stereo_is_averaged(tmp_path: pathlib.Path) -> None:
    samples = signal(5000, 44100, 2)
    path = encode(tmp_path / "a.wav", samples, 44100, "pcm_f32le")
    expected = (samples[0] + samples[1]) * np.float32(0.5)
    np.testing.assert_array_equal(decode(path).samples, expected)


def test_more_channels_are_averaged_and_flagged(tmp_path: pathlib.Path) -> None:
    samples = signal(5000, 44100, 6)
    path = encode(tmp_path / "a.wav", samples, 44100, "pcm_f32le")
    audio = decode(path)
    assert audio.flags == ("multichannel",)
    assert audio.num_channels == 6
    np.testing.assert_allclose(audio.samples, samples.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le"])
def test_integer_formats_have_full_scale_at_one(
    tmp_path: pathlib.Path, codec: str
) -> None:
    samples = signal(3000, 22050)
    audio = decode(encode(tmp_path / "a.wav", samples, 22050, codec))
    np.testing.assert_allclose(audio.samples, samples[0], atol=2**-7)


def test_dts_in_a_pcm_wav_file_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    # Head of a DTS core frame of 2012 bytes (ETSI TS 102 114); the rest is random.
    head = bytes.fromhex("7ffe8001fc3c7db0a300003800")
    body = np.random.default_rng(0).bytes(2012 - len(head))
    path = tmp_path / "disc.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 44100, 0, "NONE", ""))
        file.writeframes((head + body) * 50)
    assert "the dca stream" in str(error_of(path))


@pytest.mark.parametrize(
    "name", ["pcm16_44k.wav", "big_endian.aiff", "flac.flac", "mp3_44k.mp3"]
)
def test_truncated_files_are_decoded_to_their_end_and_flagged(
    tmp_path: pathlib.Path, name: str
) -> None:
    whole = make_readable(tmp_path, name)
    assert "truncated" not in decode(whole).flags
    cut = tmp_path / f"cut-{name}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    audio = decode(cut)
    assert "truncated" in audio.flags
    num_common = len(audio.samples) * 9 // 10
    assert num_common > 10000
    np.testing.assert_array_equal(
        audio.samples[:num_common], decode(whole).samples[:num_common]
    )


@pytest.mark.parametrize("name", sorted(READABLE))
def test_complete_files_are_not_flagged_as_truncated_or_damaged(
    tmp_path: pathlib.Path, name: str
) -> None:
    assert decode(make_readable(tmp_path, name)).flags == ()


def test_clipping_and_dc_offset_are_flagged(tmp_path: pathlib.Path) -> None:
    loud = np.clip(5 * signal(20000, 22050), -1, 1)
    path = encode(tmp_path / "loud.wav", loud, 22050, "pcm_s16le")
    assert "clipped" in decode_audio(Clip("a", str(path))).flags
    path = encode(
        tmp_path / "dc.wav", signal(20000, 22050) / 2 + 0.1, 22050, "pcm_s16le"
    )
    assert decode_audio(Clip("a", str(path))).flags == ("dc_offset",)


def test_single_full_scale_peaks_are_not_flagged_as_clipping(
    tmp_path: pathlib.Path,
) -> None:
    samples = signal(20000, 22050) / 2
    samples[0, ::50] = 1
    path = encode(tmp_path / "a.wav", samples - samples.mean(), 22050, "pcm_f32le")
    assert decode_audio(Clip("a", str(path))).flags == ()


@pytest.mark.parametrize(
    ("right", "flags"),
    [(-1, ("channels_cancel",)), (-0.99, ("channels_cancel",)), (-0.9, ()), (0, ())],
)
def test_channels_that_cancel_each_other_are_flagged(
    tmp_path: pathlib.Path, right: float, flags: tuple[str, ...]
) -> None:
    left = signal(20000, 22050)
    samples = np.concatenate([left, np.float32(right) * left])
    samples[:, :5000] = 0
    path = encode(tmp_path / "a.wav", samples, 22050, "pcm_f32le")
    assert decode(path).flags == flags
    assert mix_samples(samples, 22050).flags == flags


def test_channels_that_cancel_only_in_part_of_a_file_are_not_flagged(
    tmp_path: pathlib.Path,
) -> None:
    left = signal(20000, 22050)
    samples = np.concatenate([left, -left])
    samples[1, 15000:] = 0
    path = encode(tmp_path / "a.wav", samples, 22050, "pcm_f32le")
    assert decode(path).flags == mix_samples(samples, 22050).flags == ()


def patched_wav(path: pathlib.Path, rate_hz: int) -> pathlib.Path:
    data = bytearray(make_wav(path, 3000).read_bytes())
    data[24:28] = struct.pack("<I", rate_hz)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("rate_hz", [1, 50, 8_000_000, 4_000_000_000])
def test_impossible_rates_are_refused(tmp_path: pathlib.Path, rate_hz: int) -> None:
    error = error_of(patched_wav(tmp_path / "a.wav", rate_hz))
    assert error.error_type in ("unsupported_rate", "not_audio")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(
    tmp_path: pathlib.Path, value: float
) -> None:
    samples = signal(3000, 22050)
    samples[0, 70] = value
    error = error_of(encode(tmp_path / "a.wav", samples, 22050, "pcm_f32le"))
    assert error.error_type == "non_finite"
    assert "1 of 3000 samples" in str(error)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 96000, 5_000_000])
@pytest.mark.parametrize("num_samples", [1, 2, 5, 300, 4096])
def test_very_short_files_give_a_waveform_or_the_error_empty(
    tmp_path: pathlib.Path, num_samples: int, rate_hz: int
) -> None:
    path = make_wav(tmp_path / "a.wav", num_samples, rate_hz)
    try:
        waveform = decode_audio(Clip("a", str(path))).waveform
    except ClipError as error:
        assert error.error_type == "empty"
        assert num_samples * 22050 / rate_hz < 25
    else:
        assert waveform is not None and len(waveform) >= 1


def test_a_change_of_rate_or_channels_is_refused(tmp_path: pathlib.Path) -> None:
    joined = tmp_path / "joined.aac"
    parts = [(44100, 1), (22050, 1)]
    files = [
        encode(tmp_path / f"{rate}.aac", signal(rate, rate, channels), rate, "aac")
        for rate, channels in parts
    ]
    joined.write_bytes(b"".join(path.read_bytes() for path in files))
    error = error_of(joined)
    assert error.error_type == "format_change"
    assert "44100 Hz" in str(error) and "22050 Hz" in str(error)


@pytest.mark.parametrize(("rate_hz", "num_channels"), [(22050, 1), (44100, 2)])
def test_a_change_of_rate_or_channels_in_chained_vorbis_is_refused(
    tmp_path: pathlib.Path, rate_hz: int, num_channels: int
) -> None:
    first = encode(tmp_path / "a.ogg", signal(44100, 44100), 44100, "libvorbis")
    samples = signal(rate_hz, rate_hz, num_channels)
    second = encode(tmp_path / "b.ogg", samples, rate_hz, "libvorbis")
    joined = tmp_path / "joined.ogg"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    error = error_of(joined)
    assert error.error_type == "format_change"
    assert f"to {rate_hz} Hz and {num_channels} channels" in str(error)


def test_chained_vorbis_of_one_format_is_decoded(tmp_path: pathlib.Path) -> None:
    content = make_readable(tmp_path, "vorbis.ogg").read_bytes()
    joined = tmp_path / "joined.ogg"
    joined.write_bytes(content + content)
    assert len(decode(joined).samples) >= 2 * 2.6 * 44100


def test_chained_flac_is_decoded_and_not_damaged(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.oga"
    content = encode(path, signal(9000, 44100), 44100, "flac").read_bytes()
    assert content.startswith(b"OggS")
    path.write_bytes(content + content)
    audio = decode(path)
    assert (len(audio.samples), audio.flags) == (18000, ())


def test_two_joined_flac_files_are_decoded(tmp_path: pathlib.Path) -> None:
    whole = make_readable(tmp_path, "flac.flac").read_bytes()
    joined = tmp_path / "joined.flac"
    joined.write_bytes(whole + whole)
    assert len(decode(joined).samples) >= 2.7 * 44100


def test_files_without_audio_are_refused(tmp_path: pathlib.Path) -> None:
    contents = {
        "empty.wav": b"",
        "empty.flac": b"",
        "text.mp3": b"this is a text\n" * 100,
        "random.flac": np.random.default_rng(0).bytes(10000),
        "playlist.m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n"
        b"#EXT-X-ENDLIST\n",
        "concat.ffconcat": b"ffconcat version 1.0\nfile /etc/hostname\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert error_of(tmp_path / name).error_type == "not_audio", name


def test_a_codec_that_ffmpeg_does_not_know_is_refused(tmp_path: pathlib.Path) -> None:
    data = bytearray(make_wav(tmp_path / "a.wav", 3000).read_bytes())
    data[20:22] = struct.pack("<H", 0x1234)
    (tmp_path / "a.wav").write_bytes(data)
    assert error_of(tmp_path / "a.wav").error_type == "unsupported_codec"


def test_unexpected_decoder_error_fails_only_its_clip(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise MemoryError("out of it")

    clips = (Clip("a", str(make_wav(tmp_path / "a.wav", 3000))), Clip("b", "none"))
    monkeypatch.setattr("transforms.audio.decode_file", explode)
    first, second = decode_shard(Shard("s", clips)).clips
    assert first.failure is not None and second.failure is not None
    assert first.failure.error_type == "unexpected"
    assert "clip a: unexpected MemoryError: out of it" in first.failure.message
    assert second.failure.error_type == "not_found"


def test_a_video_without_audio_stream_is_refused(tmp_path: pathlib.Path) -> None:
    import av

    path = tmp_path / "silent film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    error = error_of(path)
    assert (error.error_type, "no audio stream" in str(error)) == ("not_audio", True)


def test_a_header_without_samples_is_empty(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44100)
    assert error_of(path).error_type in ("empty", "not_audio")


@pytest.mark.parametrize(
    "name",
    ["a b.wav", "a:b.wav", "%03d.wav", "café ß 猫.wav", "concat:x.wav", "-i.wav"],
)
def test_any_file_name_can_be_read(tmp_path: pathlib.Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(make_wav(tmp_path / "plain.wav", 3000).read_bytes())
    assert len(decode(path).samples) == 3000


def test_folders_pipes_and_missing_files_are_refused(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    assert error_of(tmp_path).error_type == "not_a_file"
    assert error_of(tmp_path / "pipe.wav").error_type == "not_a_file"
    assert error_of(tmp_path / "none.wav").error_type == "not_found"
    assert error_of("ftp://host/a.wav").error_type == "unsupported_uri"


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("healthy")
    names = ["pcm16_44k.wav", "flac.flac", "mp3_44k.mp3", "aac.m4a", "vorbis.ogg"]
    files = {name: make_readable(folder, name, 0.5).read_bytes() for name in names}
    for container in ("AIFF", "AU", "CAF", "RF64", "W64"):
        file = io.BytesIO()
        soundfile.write(file, signal(9000, 22050)[0], 22050, "PCM_16", format=container)
        files[container] = file.getvalue()
    return files


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_files_are_decoded_or_refused_without_a_crash(
    healthy: dict[str, bytes], data: st.DataObject
) -> None:
    content = bytearray(healthy[data.draw(st.sampled_from(sorted(healthy)))])
    positions = st.integers(min_value=0, max_value=len(content) - 1)
    for position in data.draw(st.lists(positions, max_size=20)):
        content[position] = data.draw(st.integers(min_value=0, max_value=255))
    end = data.draw(positions)
    try:
        audio = decode_file("clip", io.BytesIO(content[:end]))
    except ClipError as error:
        assert error.stage == "decode"
    else:
        assert audio.samples.dtype == np.float32
        assert len(audio.samples) > 0
