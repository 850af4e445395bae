"""Recipes have valid labels, and held-out sources are never trained on."""

import numpy as np
import pytest

from training.evaluate import SPECIFIC_LABELS
from training.network.calibrate import surely_false
from training.recipes.added import ADDED, ADDED_CALIBRATION
from training.recipes.ontology import with_ancestors
from training.recipes.recipe import Recipe
from training.recipes.rendered import (
    ALL_RECIPES,
    CALIBRATION,
    NOT_CLAIMED,
    RECIPES,
    TRAINED_LABELS,
)
from training.recipes.sources import Drums, Effects, Recordings, Signal
from training.recordings.groups import GROUPS
from training.synthesis.formulas import FORMULAS
from training.synthesis.soundfonts import HELD_OUT_FONTS, TRAINED_FONTS
from training.synthesis.voices import HELD_OUT, TRAINED
from transforms.models.registry import published_labels

PUBLISHED = frozenset(published_labels())
# The bell of a telephone is no instrument. Celestas, music boxes, kalimbas and
# dulcimers have tuned bars or strings, but are not called percussion.
FALSE_THOUGH_IMPLIED = {
    "telephone": {"Musical instrument", "Music"},
    "tuned_boxes": {"Percussion"},
}
by_name = pytest.mark.parametrize("recipe", ALL_RECIPES, ids=lambda r: r.name)


@by_name
def test_labels_are_published_and_unknown_ones_are_not_true(recipe: Recipe) -> None:
    assert PUBLISHED >= {*recipe.all_labels, *recipe.unknown}
    assert not set(recipe.unknown) & set(recipe.all_labels)
    assert len(set(recipe.labels)) == len(recipe.labels)
    assert recipe.weight > 0


@by_name
def test_parents_of_unknown_labels_are_true_or_unknown(recipe: Recipe) -> None:
    """If a sound may be a bell, it may be an instrument."""
    implied = set(with_ancestors(*recipe.unknown)) - {*recipe.all_labels}
    assert implied - {*recipe.unknown} == FALSE_THOUGH_IMPLIED.get(recipe.name, set())


def test_names_are_unique_and_name_files() -> None:
    names = [recipe.name for recipe in ALL_RECIPES]
    assert len(set(names)) == len(names)
    # Files are <recipe>-<source>.npz.
    assert all(name.isidentifier() for name in names)
    sources = [font.name for font in (*TRAINED_FONTS, *HELD_OUT_FONTS)]
    assert len({*sources, "other"}) == len(sources) + 1
    assert all(source.isidentifier() for source in sources)


def test_trained_labels_are_the_claimed_labels_of_the_recipes() -> None:
    assert len(TRAINED_LABELS) >= 75
    assert list(TRAINED_LABELS) == sorted(set(TRAINED_LABELS))
    labels = {label for r in RECIPES for label in r.all_labels}
    assert labels - {*NOT_CLAIMED} == set(TRAINED_LABELS)
    assert set(SPECIFIC_LABELS) < set(TRAINED_LABELS)


def test_some_recipes_and_all_of_calibration_have_no_labels() -> None:
    assert sum(not recipe.labels for recipe in RECIPES) > 5
    calibration = (*CALIBRATION, *ADDED_CALIBRATION)
    assert not any(recipe.labels for recipe in calibration)
    # Every label is false for some sounds; otherwise it could not be calibrated.
    is_false = [surely_false(recipe, TRAINED_LABELS) for recipe in calibration]
    assert np.any(is_false, axis=0).all()


def test_the_second_phase_adds_every_effect_and_oddity() -> None:
    formulas = [r.source.name for r in ADDED if isinstance(r.source, Signal)]
    known = {r.source.name for r in RECIPES if isinstance(r.source, Signal)}
    assert {*formulas} == {*FORMULAS} - known and len(formulas) == len({*formulas})


def test_ancestors_follow_the_given_labels() -> None:
    expected = ("Snare drum", "Drum", "Percussion", "Musical instrument", "Music")
    assert with_ancestors("Snare drum") == expected
    assert with_ancestors(*expected) == expected
    both = with_ancestors("Rain", "Snare drum")
    assert both == ("Rain", "Snare drum", "Water", *expected[1:])
    assert with_ancestors("Wind") == ("Wind",)
    assert with_ancestors() == ()


@pytest.mark.parametrize("label", sorted(PUBLISHED))
def test_ancestors_are_closed(label: str) -> None:
    closed = with_ancestors(label)
    assert closed[0] == label and len(set(closed)) == len(closed)
    assert with_ancestors(*closed) == closed
    assert all({*with_ancestors(name)} <= {*closed} for name in closed)


def test_held_out_fonts_and_voices_are_not_trained_on() -> None:
    fonts, others = ({f.path for f in s} for s in (TRAINED_FONTS, HELD_OUT_FONTS))
    assert fonts and others and not fonts & others
    trained, held_out = (
        {(voice.program, voice.name) for kind in voices.values() for voice in kind}
        for voices in (TRAINED, HELD_OUT)
    )
    assert not trained & held_out
    assert list(TRAINED) == list(HELD_OUT)
    assert all((*TRAINED.values(), *HELD_OUT.values()))


FREEPATS_EFFECTS = {(0, 125)}
SCRATCHES = {29, 30}


def shares_one_recording(source: object) -> bool:
    """Whether FluidR3 is the only trained font that recorded these effects or keys."""
    if isinstance(source, Effects):
        return not FREEPATS_EFFECTS & set(source.presets)
    return isinstance(source, Drums) and set(source.keys) <= SCRATCHES


def test_labels_with_sounds_of_one_maker_are_not_claimed() -> None:
    makers_of: dict[str, set[str]] = {}
    for recipe in RECIPES:
        match recipe.source:
            case Recordings(group=group):
                makers = {archive.package for archive in GROUPS[group]}
            case source if shares_one_recording(source):
                makers = {"FluidR3"}
            case _:
                makers = {"FluidR3", recipe.name}
        for label in recipe.all_labels:
            makers_of.setdefault(label, set()).update(makers)
    of_one_maker = {label for label, makers in makers_of.items() if len(makers) < 2}
    assert of_one_maker == set(NOT_CLAIMED)
