"""The results equal those of the reference script, which uses Essentia only."""

import csv
import pathlib

import numpy as np
import pytest

from tests.conftest import BUNDLED_MODELS, DATA, ROOT, Reference
from tests.support.audio_files import (
    NOT_BIT_EXACT,
    READABLE,
    make_readable,
    make_wav,
    signal,
)
from training.synthesis.encode import encode
from transforms.audio import decode_audio
from transforms.elements import Clip, Prediction
from transforms.engines.essentia import EssentiaEngine
from transforms.features import compute_patches
from transforms.front_end.patches import LastPatch, PatchSpec, log_mel, normalise
from transforms.models.loading import load_model
from transforms.models.registry import graph_path, registered_model
from transforms.resampling.whole import resample

DEMO_MODEL, *OTHER_MODELS = map(graph_path, map(registered_model, BUNDLED_MODELS))
# AAC, Vorbis, AC3 and WMA decoders changed their rounding since FFmpeg 2.8.
CODEC_TOLERANCE = 2e-6
# The order of TensorFlow's sums depends on its number of threads.
THREADS_TOLERANCE = 2e-6
# The reference fills silent frames with noise that is seeded by the clock, so that two
# of its runs differ. Our results may differ from it by this many times the largest
# difference among three of its runs.
SCATTERS = 3
MODES: tuple[LastPatch, ...] = ("repeat", "discard")


def predict(model: pathlib.Path, path: pathlib.Path, spec: PatchSpec) -> Prediction:
    """Calls the functions of the pipeline, one after the other."""
    clip = compute_patches(decode_audio(Clip("clip", str(path))), spec)
    assert clip.patches is not None
    return EssentiaEngine(load_model(str(model))).run(clip.patches)


def assert_within_scatter(
    reference: Reference, model: pathlib.Path, path: pathlib.Path, mode: LastPatch
) -> None:
    """A clip with silence differs from the reference as runs of the reference do."""
    runs = [reference(model, [path], "--last-patch", mode)[0][0] for _ in range(3)]
    pairs = [(0, 1), (0, 2), (1, 2)]
    scatter = max(float(np.abs(runs[i] - runs[j]).max()) for i, j in pairs)
    assert scatter > 0, "runs of the reference are equal now: compare exactly"
    ours = predict(model, path, PatchSpec(50, mode)).activations
    for theirs in runs:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=SCATTERS * scatter)
    again = predict(model, path, PatchSpec(50, mode)).activations
    np.testing.assert_array_equal(ours, again)


def assert_equal(
    ours: Prediction, theirs: tuple[np.ndarray, np.ndarray], tolerance: float = 0.0
) -> None:
    activations, embeddings = theirs
    assert len(ours.activations) == len(activations)
    if not len(activations):
        return
    if tolerance:
        np.testing.assert_allclose(
            ours.activations, activations, rtol=0, atol=tolerance
        )
        # Embeddings are unbounded, so the tolerance is relative to their size.
        largest = np.abs(embeddings).max()
        np.testing.assert_allclose(
            ours.embeddings, embeddings, rtol=0, atol=5 * tolerance * max(1, largest)
        )
    else:
        np.testing.assert_array_equal(ours.activations, activations)
        np.testing.assert_array_equal(ours.embeddings, embeddings)


@pytest.mark.parametrize("mode", MODES)
def test_every_readable_encoding_equals_reference(
    mode: LastPatch,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    reference: Reference,
) -> None:
    files = [make_readable(tmp_path, name) for name in READABLE]
    expected = reference(tiny_model, files, "--last-patch", mode)
    for path, theirs in zip(files, expected, strict=True):
        inexact = READABLE[path.name][0] in NOT_BIT_EXACT
        ours = predict(tiny_model, path, PatchSpec(50, mode))
        assert len(ours.activations) >= 4
        assert_equal(ours, theirs, CODEC_TOLERANCE if inexact else 0.0)


@pytest.mark.parametrize("mode", MODES)
def test_demo_clips_equal_reference(mode: LastPatch, reference: Reference) -> None:
    with open(ROOT / "demo" / "manifest.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # MonoLoader crashes on Opus and reads no samples of the damaged file. The piano
    # begins with silence, where the reference is not reproducible.
    special = {"bell", "damaged", "silence", "piano"}
    files = [ROOT / "demo" / r["uri"] for r in rows if r["clip_id"] not in special]
    assert len(files) == len(rows) - len(special)
    expected = reference(DEMO_MODEL, files, "--last-patch", mode)
    for path, theirs in zip(files, expected, strict=True):
        tolerance = CODEC_TOLERANCE if path.suffix in (".ogg", ".m4a") else 0.0
        assert_equal(predict(DEMO_MODEL, path, PatchSpec(50, mode)), theirs, tolerance)


def test_reference_with_more_threads_differs_in_the_last_bits_only(
    reference: Reference,
) -> None:
    files = sorted((ROOT / "demo" / "clips").glob("*.wav"))
    assert len(files) > 4
    expected = reference(DEMO_MODEL, files, "--last-patch", "repeat", num_threads=2)
    for path, theirs in zip(files, expected, strict=True):
        assert_equal(predict(DEMO_MODEL, path, PatchSpec()), theirs, THREADS_TOLERANCE)


@pytest.mark.parametrize("mode", MODES)
def test_batch_edges_equal_reference(
    mode: LastPatch,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    reference: Reference,
) -> None:
    counts = [1, 63, 64, 65, 130]
    # The fewest samples with that many whole patches.
    sizes = [(99 + 50 * (count - 1)) * 220 + 1 for count in counts]
    files = [make_wav(tmp_path / f"{size}.wav", size) for size in sizes]
    expected = reference(tiny_model, files, "--last-patch", mode)
    for path, count, theirs in zip(files, counts, expected, strict=True):
        ours = predict(tiny_model, path, PatchSpec(50, mode))
        assert len(ours.activations) == count + (mode == "repeat")
        assert_equal(ours, theirs)


@pytest.mark.parametrize("mode", MODES)
def test_short_clips_and_other_hops_equal_reference(
    mode: LastPatch,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    reference: Reference,
) -> None:
    sizes = [2, 219, 220, 221, 660, 5000, 21780, 21781, 40000]
    files = [make_wav(tmp_path / f"{size}.wav", size) for size in sizes]
    for hop in (25, 101):
        options = ("--last-patch", mode, "--patch-hop", str(hop))
        for path, theirs in zip(
            files, reference(tiny_model, files, *options), strict=True
        ):
            assert_equal(predict(tiny_model, path, PatchSpec(hop, mode)), theirs)


@pytest.mark.parametrize(
    "model", [*sorted(DATA.glob("*.pb")), *OTHER_MODELS], ids=lambda path: path.stem
)
def test_every_architecture_equals_reference(
    model: pathlib.Path, tmp_path: pathlib.Path, reference: Reference
) -> None:
    path = make_wav(tmp_path / "a.wav", 90000, 44100)
    (theirs,) = reference(model, [path])
    assert_equal(predict(model, path, PatchSpec(50, "discard")), theirs)


def test_silent_frames_in_a_loud_clip_stay_within_the_references_scatter(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, reference: Reference
) -> None:
    # Zeros stay zeros only if the mean of the whole clip is 0.
    half, gap = signal(30000, 22050), np.zeros((1, 20000), np.float32)
    samples = np.concatenate([gap[:, :500], half, gap, -half], axis=1)
    path = encode(tmp_path / "gap.wav", samples, 22050, "pcm_s16le")
    waveform = decode_audio(Clip("clip", str(path))).waveform
    assert waveform is not None
    num_silent = log_mel(normalise(waveform))[1]
    assert num_silent > 50
    assert_within_scatter(reference, tiny_model, path, "discard")


@pytest.mark.parametrize("mode", MODES)
def test_silent_clips_stay_within_the_references_scatter(
    mode: LastPatch, reference: Reference
) -> None:
    silence = ROOT / "demo" / "clips" / "silence.flac"
    assert_within_scatter(reference, DEMO_MODEL, silence, mode)


@pytest.mark.parametrize(
    "rate_hz", [8000, 11025, 16000, 22000, 32000, 44100, 48000, 96000]
)
def test_resampling_loses_the_tail_that_monoloader_loses(
    rate_hz: int, tmp_path: pathlib.Path
) -> None:
    # MonoLoader may run in this process: it does not crash on plain WAV files.
    from transforms.essentia_import import essentia_standard

    for blocks in (1, 3, 20):
        path = make_wav(tmp_path / f"{blocks}.wav", 4096 * blocks, rate_hz)
        loader = essentia_standard().MonoLoader(filename=str(path), sampleRate=22050)
        samples = signal(4096 * blocks, rate_hz)[0]
        decoded = decode_audio(Clip("clip", str(path))).waveform
        np.testing.assert_array_equal(decoded, loader())
        assert len(resample(samples, rate_hz)) == len(loader())
