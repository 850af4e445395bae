"""The bundled demo models know the demo clips, and their cards state their scores."""

import functools
import json
from typing import Any

import numpy as np
import pytest

from tests.conftest import BUNDLED_MODELS, ROOT
from training.evaluate import to_json
from training.model_card import RESULTS, model_card, read_results
from transforms.audio import decode_audio
from transforms.elements import Clip, FloatArray
from transforms.engines.essentia import EssentiaEngine
from transforms.engines.winograd.engine import WinogradEngine
from transforms.features import compute_patches
from transforms.front_end.patches import PatchSpec
from transforms.models.loading import load_model
from transforms.models.registry import graph_path, registered_model

CLIPS = ROOT / "demo" / "clips"
every_model = pytest.mark.parametrize("name", BUNDLED_MODELS)


@functools.cache
def engine(name: str) -> EssentiaEngine:
    return EssentiaEngine(load_model(name))


@functools.cache
def metadata(name: str) -> dict[str, Any]:
    path = graph_path(registered_model(name)).with_suffix(".json")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def patches_of(file_name: str) -> FloatArray:
    """The patches of a demo clip."""
    clip = decode_audio(Clip(file_name, str(CLIPS / file_name)))
    patches = compute_patches(clip, PatchSpec()).patches
    assert patches is not None
    return patches


def heard(name: str, file_name: str) -> dict[str, float]:
    """Mean activations of a demo clip, sorted by falling score."""
    scores = engine(name).run(patches_of(file_name)).activations.mean(axis=0)
    order = np.argsort(-scores)
    labels = metadata(name)["classes"]
    return {labels[index]: float(scores[index]) for index in order}


@every_model
@pytest.mark.parametrize(
    ("file_name", "label", "rank"),
    [
        ("speech_en.wav", "Speech", 3),
        ("speech_fr.mp3", "Speech", 3),
        ("speech_man.flac", "Male speech and man speaking", 3),
        ("piano.flac", "Musical instrument", 3),
        ("drum_loop.ogg", "Percussion", 3),
        ("choir.mp3", "Singing", 5),
        ("church_bell.flac", "Bell", 5),
        ("telephone.wav", "Telephone", 2),
        ("dial.wav", "Telephone", 2),
        ("siren.wav", "Siren", 3),
    ],
)
def test_the_model_knows_demo_clips(
    name: str, file_name: str, label: str, rank: int
) -> None:
    assert label in [*heard(name, file_name)][:rank]


@every_model
@pytest.mark.parametrize("file_name", ["noise.ogg", "silence.flac"])
def test_noise_and_silence_get_no_label(name: str, file_name: str) -> None:
    assert max(heard(name, file_name).values()) < 0.5


@every_model
def test_untrained_labels_score_nearly_zero(name: str) -> None:
    trained = {*metadata(name)["trained_classes"]}
    untrained = {*metadata(name)["classes"]} - trained
    assert len(trained) >= 75
    assert len(untrained) + len(trained) == 200
    for file_name in ("piano.flac", "noise.ogg", "hammer.mp3"):
        scores = heard(name, file_name)
        assert max(scores[label] for label in untrained) < 1e-4


@every_model
def test_both_engines_give_the_same_activations_for_demo_clips(name: str) -> None:
    files = ("speech_en.wav", "piano.flac", "drum_loop.ogg", "noise.ogg")
    patches = np.concatenate([patches_of(file_name) for file_name in files])
    fast = WinogradEngine(load_model(name)).run(patches).activations
    expected = engine(name).run(patches).activations
    np.testing.assert_allclose(fast, expected, rtol=0, atol=1e-5)


@every_model
def test_the_metadata_states_the_layout_of_the_graph(name: str) -> None:
    (x,) = metadata(name)["schema"]["inputs"]
    assert x["shape"] == ["batch", 101, 96, 1]
    shapes = [output["shape"] for output in metadata(name)["schema"]["outputs"]]
    embedding_size = registered_model(name).embedding_size
    assert shapes == [["batch", 200], ["batch", embedding_size]]
    assert metadata(name)["name"] == name
    assert all(metadata(name)[key] for key in ("license", "citation", "dataset"))
    assert "DEMO" in metadata(name)["description"]


@every_model
def test_the_card_states_the_stored_results(name: str) -> None:
    scores, check = read_results(RESULTS, name)
    path = graph_path(registered_model(name)).with_suffix(".md")
    assert scores["model"] == name
    assert path.read_text(encoding="utf-8") == model_card(metadata(name), scores, check)
    assert check["largest_difference"] < 1e-5 and check["num_clips"] >= 20
    stored = (RESULTS / f"{name}.scores.json").read_text(encoding="utf-8")
    assert stored == to_json(scores)
