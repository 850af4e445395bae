"""The public API: the names in `transforms`, EmbedAudio, Tagger and own engines."""

import pathlib
from typing import Any, cast

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that

import transforms
from tests.conftest import DATA, Command
from tests.support.audio_files import make_wav, signal
from transforms import (
    ClipError,
    EmbedAudio,
    EmbedResult,
    Engine,
    ModelSpec,
    PatchSpec,
    Prediction,
    RunModels,
    Tagger,
    load_model,
    register_engine,
    write_plan,
)
from transforms.engines.essentia import EssentiaEngine
from transforms.engines.registered import ENGINES

TINY = str(DATA / "random-tiny-tlpf.pb")
DEMO = "fsd-sinet-vgg41-half-tlpf_aps-demo"


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgets the engines that a test registers."""
    monkeypatch.setattr("transforms.engines.registered.ENGINES", dict(ENGINES))
    monkeypatch.setattr(
        "transforms.models.check_engine.ENGINES", transforms.engines.registered.ENGINES
    )


def test_every_public_name_can_be_imported() -> None:
    assert set(transforms.__all__) <= set(dir(transforms))
    for name in transforms.__all__:
        assert getattr(transforms, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Taggr'"):
        transforms.Taggr  # noqa: B018


def test_tagger_and_extract_and_embed_audio_agree(
    tmp_path: pathlib.Path, fsdsinet: Command
) -> None:
    (tmp_path / "a").mkdir()
    paths = [
        make_wav(tmp_path / "a" / "a.wav", 70_000, 44_100),
        make_wav(tmp_path / "a" / "b.wav", 9_000, 22_050),
    ]
    missing = str(tmp_path / "a" / "none.wav")
    fsdsinet("extract", tmp_path / "a", "--model", DEMO, "--output", tmp_path / "out")
    patches = pq.read_table(tmp_path / "out" / "patches" / f"model={DEMO}")
    tagger = Tagger(DEMO)
    found = [tagger.file(path) for path in paths]
    for name in ("activations", "embeddings"):
        column = patches[name.rstrip("s") if name == "embeddings" else name]
        stored = np.stack(column.to_numpy())
        np.testing.assert_array_equal(
            np.concatenate([getattr(prediction, name) for prediction in found]), stored
        )
    starts = np.concatenate([prediction.start_s for prediction in found])
    np.testing.assert_array_equal(starts, patches["start_s"].to_numpy())
    assert found[1].flags == ("short",) and found[0].labels == tagger.labels

    def check(results: list[EmbedResult]) -> None:
        by_uri = {result.uri: result for result in results}
        assert len(by_uri) == 3
        failure = by_uri[missing].failure
        assert failure and failure.error_type == "not_found"
        assert not by_uri[missing].predictions
        for path, expected in zip(paths, found, strict=True):
            result = by_uri[str(path)]
            assert result.failure is None and result.info
            prediction = result.predictions[DEMO]
            assert prediction.labels == expected.labels
            assert prediction.flags == expected.flags
            for name in ("activations", "embeddings", "start_s"):
                np.testing.assert_array_equal(
                    getattr(prediction, name), getattr(expected, name)
                )

    with TestPipeline(runner="FnApiRunner") as pipeline:
        uris = pipeline | beam.Create([*map(str, paths), missing])
        assert_that(uris | EmbedAudio(models=[DEMO]), check)


@pytest.mark.parametrize("num_channels", [1, 2, 3])
@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_a_waveform_is_predicted_as_its_file_is(
    tmp_path: pathlib.Path, num_channels: int, rate: int
) -> None:
    import soundfile

    samples = np.stack([signal(50_000, rate, seed=i)[0] for i in range(num_channels)])
    path = tmp_path / "a.wav"
    soundfile.write(path, samples.T, rate, subtype="FLOAT")
    tagger = Tagger(TINY)
    from_file = tagger.file(path)
    given = samples[0] if num_channels == 1 else samples
    from_memory = tagger.waveform(given, sample_rate_hz=rate)
    np.testing.assert_array_equal(from_file.activations, from_memory.activations)
    np.testing.assert_array_equal(from_file.embeddings, from_memory.embeddings)
    assert from_file.flags == from_memory.flags


def test_top_labels_are_those_of_the_mean() -> None:
    prediction = Tagger(TINY).waveform(signal(50_000, 22_050)[0], 22_050)
    mean = prediction.activations.mean(axis=0)
    (label, score), *_ = prediction.top(3)
    assert label == prediction.labels[int(mean.argmax())]
    assert score == pytest.approx(mean.max())
    assert "patches" in repr(prediction) and label in repr(prediction)


def test_audio_that_cannot_be_read_is_an_error(tmp_path: pathlib.Path) -> None:
    tagger = Tagger(TINY, engine="essentia", patches=PatchSpec(last_patch="discard"))
    with pytest.raises(ClipError, match="cannot open"):
        tagger.file(tmp_path / "none.wav")
    with pytest.raises(ClipError, match="NaN"):
        tagger.waveform(np.full(9, np.nan), 22_050)
    assert tagger.waveform(np.zeros(9), 22_050).activations.shape == (0, 200)
    assert repr(tagger.waveform(np.zeros(9), 22_050)) == "<0 patches: >"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PatchSpec(patch_hop=0), "patch_hop is 0, expected 1 to 101"),
        (lambda: PatchSpec(last_patch=cast(Any, "drop")), "last_patch is 'drop'"),
        (lambda: Tagger(TINY, engine="tpu"), "engine is 'tpu', expected one of"),
        (lambda: EmbedAudio([TINY], engine="tpu"), "engine is 'tpu'"),
        (lambda: EmbedAudio([]), "models is \\[\\], expected a list"),
        (lambda: EmbedAudio(TINY), "expected a list"),
        (lambda: RunModels([]), "no models"),
        (lambda: RunModels([load_model(TINY)] * 2), "expected different names"),
        (lambda: register_engine("a b", EssentiaEngine), "engine name is 'a b'"),
        (lambda: register_engine("winograd", EssentiaEngine), "'winograd' exists"),
        (lambda: write_plan([], "plan.arrow"), "no shards"),
        (lambda: Tagger(TINY).waveform(np.zeros((2, 2, 2)), 8000), "of shape"),
        (lambda: Tagger(TINY).waveform(np.zeros(9), 3), "sample rate of 3 Hz"),
        (lambda: Tagger(TINY).waveform(np.zeros(9, np.int16), 8000), "type int16"),
        (lambda: Tagger(TINY).waveform(np.zeros((9, 2)), 8000), "transpose them"),
    ],
)
def test_wrong_arguments_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


class ShiftedEngine:
    """Adds a number to the activations of the reference."""

    offset = 0.0

    def __init__(self, spec: ModelSpec) -> None:
        self._engine = EssentiaEngine(spec)

    def run(self, patches: np.ndarray) -> Prediction:
        prediction = self._engine.run(patches)
        return Prediction(
            prediction.activations + np.float32(self.offset), prediction.embeddings
        )


class WrongEngine(ShiftedEngine):
    offset = 0.1


class FineEngine(ShiftedEngine):
    offset = 1e-6


def test_a_registered_engine_runs_in_tagger_and_pipeline(
    tmp_path: pathlib.Path,
) -> None:
    made: Engine = FineEngine(load_model(TINY))
    register_engine("fine", FineEngine)
    register_engine("fine", FineEngine)
    path = make_wav(tmp_path / "a.wav", 70_000, 44_100)
    expected = Tagger(TINY, engine="essentia").file(path).activations
    found = Tagger(TINY, engine="fine").file(path).activations
    np.testing.assert_array_equal(found, expected + np.float32(1e-6))
    assert made

    def check(results: list[EmbedResult]) -> None:
        (result,) = results
        activations = result.predictions["random-tiny-tlpf"].activations
        np.testing.assert_array_equal(activations, found)

    with TestPipeline(runner="FnApiRunner") as pipeline:
        uris = pipeline | beam.Create([str(path)])
        assert_that(uris | EmbedAudio([TINY], engine="fine"), check)


def test_a_registered_engine_that_is_wrong_is_an_error() -> None:
    register_engine("wrong", WrongEngine)
    with pytest.raises(RuntimeError, match="engine wrong is wrong for model"):
        Tagger(TINY, engine="wrong")
