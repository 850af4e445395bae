"""A folder search finds audio files, and says what it leaves out."""

import os
import pathlib
import struct

import numpy as np
import pandas as pd
import pytest
import soundfile

from pipeline.cli.main import main
from pipeline.errors import ConfigError
from pipeline.inputs.read_inputs import AUDIO_SUFFIXES, read_inputs, read_sized_inputs
from tests.conftest import ROOT, Command
from tests.support.audio_files import make_wav
from training.synthesis.encode import encode
from transforms import storage
from transforms.audio import decode_audio
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ
from transforms.elements import Clip


def tone(rate_hz: int) -> np.ndarray:
    """One second of 440 Hz, [1, num_samples]."""
    times = np.arange(rate_hz, dtype=np.float32)[None] / rate_hz
    return 0.4 * np.sin(2 * np.pi * 440 * times)


def dsf(samples: np.ndarray) -> bytes:
    """A DSF file: one bit a sample, first bit lowest, in blocks of 4096 bytes."""
    num_ones = np.floor(np.cumsum((samples[0] + 1) / 2, dtype=np.float64))
    bits = np.packbits(np.diff(num_ones, prepend=0) > 0, bitorder="little").tobytes()
    bits += b"\x69" * (-len(bits) % 4096)
    rate_hz, size = samples.shape[1], len(bits)
    return (
        struct.pack("<4sQQQ", b"DSD ", 28, 92 + size, 0)
        + struct.pack("<4sQ6I", b"fmt ", 52, 1, 0, 1, 1, rate_hz, 1)
        + struct.pack("<QII", rate_hz, 4096, 0)
        + struct.pack("<4sQ", b"data", 12 + size)
        + bits
    )


# suffix -> how the file is written: encoder and rate in Hz, or format and subtype.
FURTHER: dict[str, tuple[str, int] | tuple[str, str]] = {
    ".m4b": ("aac", 44100),
    ".mov": ("aac", 44100),
    ".mkv": ("libopus", 48000),
    ".avi": ("libmp3lame", 44100),
    ".3ga": ("aac", 44100),
    ".rf64": ("RF64", "PCM_16"),
    ".bwf": ("WAV", "PCM_24"),
    ".sph": ("NIST", "PCM_16"),
    ".gsm": ("RAW", "GSM610"),
}


@pytest.mark.parametrize("suffix", FURTHER)
def test_a_folder_search_finds_suffixes_that_are_decoded(
    tmp_path: pathlib.Path, suffix: str
) -> None:
    path, (first, second) = tmp_path / f"A{suffix.upper()}", FURTHER[suffix]
    if isinstance(second, int):
        name = suffix.replace(".3ga", ".3gp")
        encode(tmp_path / f"x{name}", tone(second), second, first).rename(path)
    else:
        soundfile.write(path, tone(8000)[0], 8000, second, format=first)
    assert heard(tmp_path) == pytest.approx((1, 440), rel=0.08)


def test_a_folder_search_finds_one_bit_audio(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.dsf").write_bytes(dsf(tone(2_822_400)))
    assert heard(tmp_path) == pytest.approx((1, 440), rel=0.08)


def test_a_folder_search_finds_wideband_amr(tmp_path: pathlib.Path) -> None:
    # There is no free encoder: 50 frames of the lowest rate, with arbitrary bits.
    bits = np.random.default_rng(0).integers(0, 256, (50, 17), np.uint8)
    frames = b"".join(b"\x04" + frame.tobytes() for frame in bits)
    (tmp_path / "a.awb").write_bytes(b"#!AMR-WB\n" + frames)
    assert heard(tmp_path)[0] == pytest.approx(1, rel=0.01)


def heard(folder: pathlib.Path) -> tuple[float, float]:
    """Seconds and strongest frequency in Hz of the one clip of a folder."""
    (uri,) = read_inputs([str(folder)])["uri"].to_pylist()
    samples = decode_audio(Clip("a", uri)).waveform
    assert samples is not None
    seconds = len(samples) / SAMPLE_RATE_HZ
    return seconds, float(np.abs(np.fft.rfft(samples)).argmax()) / seconds


def test_the_documentation_lists_the_suffixes_that_are_found() -> None:
    page = " ".join((ROOT / "docs" / "options.md").read_text().split())
    assert f"`{' '.join(sorted(AUDIO_SUFFIXES))}`" in page


def make_files(folder: pathlib.Path, *names: str | bytes) -> None:
    for name in names:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_that_are_left_out_are_counted_by_suffix(tmp_path: pathlib.Path) -> None:
    make_files(
        tmp_path, "a/a.wav", "a/b.DTS", "a/c.dts", "a/take", b"b/x.\xe9", "b/y.WAV"
    )
    make_files(tmp_path, "a/._a.wav", "a/.hidden", "a/.git/config", "b/z.csv", "b/z.")
    inputs = read_sized_inputs([f"{tmp_path}/a", f"{tmp_path}/[b]"])
    assert inputs.table.num_rows == 2
    assert inputs.left_out_text() == (
        "6 files left out: .dts (2), no suffix (1), . (1), .csv (1), .\\xe9 (1); "
        "name them in a manifest to include them"
    )


def test_one_file_is_left_out_or_none(tmp_path: pathlib.Path) -> None:
    make_files(tmp_path, "a.wav")
    assert read_sized_inputs([str(tmp_path)]).left_out_text() == ""
    make_files(tmp_path, "b.dts")
    assert read_sized_inputs([str(tmp_path)]).left_out_text() == (
        "1 file left out: .dts (1); name it in a manifest to include it"
    )
    # A file that is named is not searched for.
    assert read_sized_inputs([f"{tmp_path}/*"]).left_out_text() == ""


def test_many_suffixes_are_summed_up(tmp_path: pathlib.Path) -> None:
    make_files(tmp_path, "a.wav", "a.00", "b.00", *(f"x.{i:02}" for i in range(14)))
    text = read_sized_inputs([str(tmp_path)]).left_out_text()
    assert text.startswith("16 files left out: .00 (3), .01 (1), .02 (1), ")
    assert ".09 (1), other suffixes (4); name them" in text


def test_a_folder_without_audio_is_refused_with_what_was_found(
    tmp_path: pathlib.Path,
) -> None:
    make_files(tmp_path, "a.txt", "b.txt", "take")
    with pytest.raises(ConfigError, match=r"found \.txt \(2\), no suffix \(1\), exp"):
        read_inputs([str(tmp_path)])


def test_run_dry_run_and_manifest_say_what_was_left_out(
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_files(tmp_path, "in/a.dts", "in/b.eac3", "in/._a.wav")
    make_wav(tmp_path / "in" / "a.wav", 30000)
    line = ["extract", f"{tmp_path}/in", "--model", str(tiny_model)]
    line += ["--output", f"{tmp_path}/out"]
    text = "2 files left out: .dts (1), .eac3 (1); name them in a manifest to include"
    assert main([*line, "--dry-run"]) == 0
    assert capsys.readouterr().out.count(text) == 1
    done = fsdsinet(*line)
    assert done.stderr.count(text) == 1
    assert text not in done.stdout
    listed = ["manifest", f"{tmp_path}/in", "--output", f"{tmp_path}/m.csv"]
    assert main(listed) == 0
    assert capsys.readouterr() == (
        f"1 clip: {tmp_path}/m.csv\n",
        f"fsdsinet: {text} them\n",
    )
    assert main(["manifest", f"{tmp_path}/in/a.wav", *listed[2:]]) == 0
    assert capsys.readouterr().err == ""


def not_utf8(folder: pathlib.Path) -> pathlib.Path:
    return folder / os.fsdecode(b"t\xe9te %41 \xc3\xa9")


def test_names_that_are_not_utf8_become_uris_with_escapes(
    tmp_path: pathlib.Path,
) -> None:
    folder = not_utf8(tmp_path)
    make_files(folder, "a b.wav", b"caf\xe9.wav")
    (folder / "m.csv").write_text("uri\na b.wav\n")
    start = f"file://{tmp_path}/t%E9te%20%2541%20%C3%A9"
    found = [f"{start}/a%20b.wav", f"{start}/caf%E9.wav"]
    for given, expected in [
        (tmp_path, found),
        (folder, found),
        (folder / "*.wav", found),
        (folder / "a b.wav", found[:1]),
        (folder / "m.csv", found[:1]),
    ]:
        uris = read_inputs([str(given)])["uri"].to_pylist()
        assert uris == expected
        assert all(os.path.isfile(storage.local_path(uri)) for uri in uris)


def test_the_root_of_fsd50k_may_have_a_name_that_is_not_utf8(
    tmp_path: pathlib.Path,
) -> None:
    root = not_utf8(tmp_path)
    make_files(root / "FSD50K.eval_audio", "7.wav")
    make_files(root / "FSD50K.ground_truth", "eval.csv")
    table = root / "FSD50K.ground_truth" / "eval.csv"
    table.write_text("fname,labels,mids\n7,Bark,/m/1\n")
    (uri,) = read_inputs([str(root)])["uri"].to_pylist()
    assert os.path.isfile(storage.local_path(uri))


def test_files_whose_names_are_not_utf8_are_processed(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, fsdsinet: Command
) -> None:
    folder = not_utf8(tmp_path)
    folder.mkdir()
    make_wav(tmp_path / "a.wav", 30000).rename(folder / os.fsdecode(b"caf\xe9.wav"))
    manifest, output = tmp_path / "m.csv", tmp_path / "out"
    fsdsinet("manifest", folder, "--output", manifest)
    line = ["extract", folder, "--model", tiny_model, "--output", output]
    assert "1 clip ok, 0 failed" in fsdsinet(*line).stdout
    assert "nothing to do: 1 clip is done" in fsdsinet(*line).stdout
    ledger = pd.read_parquet(output / "ledger")
    (uri,) = ledger["uri"]
    assert uri == f"file://{tmp_path}/t%E9te%20%2541%20%C3%A9/caf%E9.wav"
    assert ledger["clip_id"][0].startswith("caf%E9-")
    assert read_inputs([str(manifest)])["uri"].to_pylist() == [uri]
    assert "caf%E9" in fsdsinet("top", output).stdout
    fsdsinet("report", output, "--output", tmp_path / "page.html")
