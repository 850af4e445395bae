"""Segments of a recording have the samples, patches and flags of the whole."""

import io
import json
import pathlib

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.audio_files import make_readable, signal
from transforms.audio import decode_audio
from transforms.elements import Clip, ClipError, FloatArray, Prediction
from transforms.features import compute_patches
from transforms.front_end.patches import PatchSpec
from transforms.recordings.kept_samples import KeptSamples
from transforms.recordings.measure import BATCH_PATCHES, Recording
from transforms.recordings.reading import first_pass, open_parts, read_segment
from transforms.recordings.segments import compute_segment
from transforms.recordings.unfinished import UnfinishedRecording

SPEC = PatchSpec(patch_hop=3)
RATES_HZ = (22050, 44100, 48000, 96000, 16000)


class PatchesEngine:
    """Returns the patches themselves as activations."""

    def run(self, patches: FloatArray) -> Prediction:
        rows = np.ascontiguousarray(patches).reshape(len(patches), 101 * 96)
        return Prediction(rows, rows[:, :1])


def write_wav(path: pathlib.Path, num_samples: int, rate_hz: int, channels: int) -> str:
    samples = signal(num_samples, rate_hz, channels)
    # Silent stretches, and in one of them a last bit.
    samples[:, rate_hz : 4 * rate_hz] = 0
    samples[:, 6 * rate_hz :: 7] = 0
    soundfile.write(path, samples.T, rate_hz, "PCM_16")
    return str(path)


def patches_of_whole(clip: Clip, spec: PatchSpec) -> tuple[FloatArray, Clip]:
    computed = compute_patches(decode_audio(clip), spec)
    assert computed.patches is not None
    return computed.patches, computed


def patches_of_segments(
    clip: Clip, spec: PatchSpec, segment_patches: int, folder: UnfinishedRecording
) -> tuple[FloatArray, Recording, bool]:
    kept = KeptSamples(folder, spec, segment_patches)
    with open(clip.uri, "rb") as file:
        recording = first_pass(clip, file, spec, segment_patches, kept.take)
    if not recording.can_seek:
        kept.finish(recording)
    folder.write_recording(recording)
    read = folder.read_recording()
    assert read == recording
    results, silent = [], []
    for segment in recording.segments(spec):
        with open(clip.uri, "rb") as file, open_parts(clip, file, recording) as reader:
            samples = read_segment(clip, recording, segment, reader)
        if segment.index in folder.kept():
            from_file = folder.read_samples(segment.index)
            assert from_file is not None
            np.testing.assert_array_equal(samples, from_file)
        predictions, is_silent = compute_segment(
            recording, segment, samples, spec, {"m": PatchesEngine()}
        )
        results.append(predictions["m"].activations.reshape(-1, 101, 96))
        silent.append(is_silent)
    return np.concatenate(results), recording, all(silent)


def assert_equal_to_whole(
    clip: Clip, folder: pathlib.Path, spec: PatchSpec = SPEC, segment_patches: int = 64
) -> Recording:
    unfinished = UnfinishedRecording(str(folder), "shard")
    expected, computed = patches_of_whole(clip, spec)
    actual, recording, is_silent = patches_of_segments(
        clip, spec, segment_patches, unfinished
    )
    np.testing.assert_array_equal(actual, expected)
    assert recording.info == computed.info
    flags = {*recording.flags, *(["silent"] if is_silent else [])}
    assert flags == set(computed.flags)
    return recording


@settings(max_examples=16, deadline=None)
@given(
    rate_hz=st.sampled_from(RATES_HZ),
    channels=st.sampled_from([1, 2]),
    last_patch=st.sampled_from(["repeat", "discard"]),
    blocks=st.integers(40, 190),
    more=st.sampled_from([-1, 0, 1, 2048]),
)
def test_wav_of_any_length(
    tmp_path_factory: pytest.TempPathFactory,
    rate_hz: int,
    channels: int,
    last_patch: str,
    blocks: int,
    more: int,
) -> None:
    folder = tmp_path_factory.mktemp("recording")
    uri = write_wav(folder / "a.wav", blocks * 4096 + more, rate_hz, channels)
    spec = PatchSpec(patch_hop=3, last_patch=last_patch)  # type: ignore[arg-type]
    recording = assert_equal_to_whole(Clip("a", uri), folder, spec)
    assert recording.can_seek


@pytest.mark.parametrize(
    "name",
    ["flac.flac", "mp3_44k.mp3", "vorbis.ogg", "aac.m4a", "wma.wma", "big_endian.aiff"],
)
def test_every_codec(name: str, tmp_path: pathlib.Path) -> None:
    path = make_readable(tmp_path, name, seconds=9.7)
    recording = assert_equal_to_whole(Clip("a", str(path)), tmp_path)
    segments = recording.segments(SPEC)
    assert len(segments) > 3
    kept = UnfinishedRecording(str(tmp_path), "shard").kept()
    assert kept == (set() if recording.can_seek else {s.index for s in segments})


@pytest.mark.parametrize("name", ["flac.flac", "mp3_44k.mp3"])
def test_an_excerpt_is_a_recording_of_its_own(
    name: str, tmp_path: pathlib.Path
) -> None:
    uri = str(make_readable(tmp_path, name, seconds=12))
    for start_s, end_s in ((1.0007, 9.3), (2.5, None), (None, 8.0), (3.0, 20.0)):
        clip = Clip("a", uri, start_s=start_s, end_s=end_s)
        recording = assert_equal_to_whole(clip, tmp_path)
        assert ("truncated" in recording.flags) == (end_s == 20.0)


def test_a_patch_hop_longer_than_a_patch_needs_no_common_frames(
    tmp_path: pathlib.Path,
) -> None:
    for hop, seconds in ((50, 66), (101, 132)):
        uri = write_wav(tmp_path / "a.wav", 22050 * seconds, 22050, 1)
        recording = assert_equal_to_whole(Clip("a", uri), tmp_path, PatchSpec(hop))
        assert len(recording.segments(PatchSpec(hop))) > 1


def test_silence(tmp_path: pathlib.Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(22050 * 12), 22050)
    recording = assert_equal_to_whole(Clip("a", str(tmp_path / "a.wav")), tmp_path)
    assert recording.flags == ()


def test_flags_of_a_damaged_and_truncated_file(tmp_path: pathlib.Path) -> None:
    path = make_readable(tmp_path, "flac.flac", seconds=12)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data[: len(data) * 9 // 10])
    recording = assert_equal_to_whole(Clip("a", str(path)), tmp_path)
    assert {"damaged", "truncated"} <= set(recording.flags)
    assert not recording.can_seek


def test_segments_are_whole_batches_and_the_last_one_is_not_small(
    tmp_path: pathlib.Path,
) -> None:
    uri = write_wav(tmp_path / "a.wav", 22050 * 30, 22050, 1)
    with open(uri, "rb") as file:
        recording = first_pass(Clip("a", uri), file, SPEC, 128)
    sizes = [s.patches[1] - s.patches[0] for s in recording.segments(SPEC)]
    assert set(sizes[:-1]) == {128}
    assert BATCH_PATCHES <= sizes[-1] < 128 + BATCH_PATCHES


def test_samples_that_are_not_finite(tmp_path: pathlib.Path) -> None:
    samples = signal(22050 * 5, 22050)[0]
    samples[[7, 22050, 99999]] = [np.nan, np.inf, -np.inf]
    soundfile.write(tmp_path / "a.wav", samples, 22050, "FLOAT")
    clip = Clip("a", str(tmp_path / "a.wav"))
    with open(clip.uri, "rb") as file, pytest.raises(ClipError) as caught:
        first_pass(clip, file, SPEC, 64)
    with pytest.raises(ClipError) as expected:
        decode_audio(clip)
    assert str(caught.value) == str(expected.value)
    assert caught.value.error_type == "non_finite"


def test_a_file_that_changed_since_the_first_pass_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    uri = write_wav(tmp_path / "a.wav", 22050 * 9, 22050, 1)
    clip = Clip("a", uri)
    with open(uri, "rb") as file:
        recording = first_pass(clip, file, SPEC, 64)
    shorter = io.BytesIO(pathlib.Path(uri).read_bytes()[:-1000])
    with pytest.raises(ClipError, match="has changed since the run read it first"):
        open_parts(clip, shorter, recording)


def test_an_unreadable_state_is_no_state(tmp_path: pathlib.Path) -> None:
    folder = UnfinishedRecording(str(tmp_path), "shard")
    assert folder.read_recording() is None
    pathlib.Path(folder.folder).mkdir(parents=True)
    for text in ("", "{}", json.dumps({"info": 1}), "[1]"):
        pathlib.Path(folder.folder, "recording.json").write_text(text)
        assert folder.read_recording() is None
