"""The bundled demo model says true things about demo clips, and its card about it."""

import functools
import json

import numpy as np
import pytest

from pipeline.models import load_model
from pipeline.registry import graph_path, registered_model
from tests.conftest import ROOT
from training.model_card import RESULTS, model_card, read_results
from transforms.audio import decode_audio
from transforms.elements import Clip
from transforms.engines import EssentiaEngine
from transforms.features import PatchSpec, compute_patches

NAME = "fsd-sinet-vgg41-tlpf-demo"
GRAPH = graph_path(registered_model(NAME))
METADATA = json.loads(GRAPH.with_suffix(".json").read_text(encoding="utf-8"))
CLIPS = ROOT / "demo" / "clips"


@functools.cache
def engine() -> EssentiaEngine:
    return EssentiaEngine(load_model(NAME))


def heard(file_name: str) -> dict[str, float]:
    """Mean activations of a demo clip, by falling score."""
    clip = decode_audio(Clip(file_name, str(CLIPS / file_name)))
    patches = compute_patches(clip, PatchSpec()).patches
    assert patches is not None
    scores = engine().run(patches).activations.mean(axis=0)
    order = np.argsort(-scores)
    return {METADATA["classes"][index]: float(scores[index]) for index in order}


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
def test_the_model_knows_demo_clips(file_name: str, label: str, rank: int) -> None:
    best = [*heard(file_name)][:rank]
    assert label in best


@pytest.mark.parametrize("file_name", ["noise.ogg", "silence.flac"])
def test_it_says_nothing_of_noise_and_silence(file_name: str) -> None:
    assert max(heard(file_name).values()) < 0.5


def test_labels_without_training_never_show() -> None:
    untrained = set(METADATA["classes"]) - set(METADATA["trained_classes"])
    assert len(METADATA["trained_classes"]) >= 75
    assert len(untrained) + len(METADATA["trained_classes"]) == 200
    for file_name in ("piano.flac", "noise.ogg", "hammer.mp3"):
        scores = heard(file_name)
        assert max(scores[label] for label in untrained) < 1e-4


def test_the_metadata_states_the_true_layout() -> None:
    (x,) = METADATA["schema"]["inputs"]
    assert x["shape"] == ["batch", 101, 96, 1]
    assert METADATA["license"] and METADATA["citation"] and METADATA["dataset"]
    assert "DEMO" in METADATA["description"]


def test_the_card_is_what_was_measured() -> None:
    scores, check = read_results(RESULTS, NAME)
    card = GRAPH.with_suffix(".md").read_text(encoding="utf-8")
    assert card == model_card(METADATA, scores, check)
    assert check["largest_difference"] < 1e-5 and check["num_clips"] >= 20
