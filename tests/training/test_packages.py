"""Rendering and evaluation check their packages first, and name the missing ones."""

import pathlib

import pytest

from training import evaluate, packages, render
from training.packages import EVALUATION, FONTS, VOICES, Package, missing, require
from training.recipes.added import ADDED_CALIBRATION
from training.recipes.rendered import CALIBRATION, RECIPES
from training.recipes.sources import Recordings
from training.recordings import held_out as real_recordings
from training.recordings.added_groups import ADDED_GROUPS
from training.synthesis.voices import HELD_OUT, TRAINED

INSTALLED = (Package("python", "python3"), Package("this-file", __file__))
MISSING = (
    Package("no-program", "no-such-program"),
    Package("no-file", "/no/such/file"),
)


def test_the_message_has_a_command_that_installs_all_missing_packages() -> None:
    assert missing([INSTALLED[0], *MISSING, INSTALLED[1]]) == list(MISSING)
    require(INSTALLED, "a test")
    with pytest.raises(FileNotFoundError) as caught:
        require([*INSTALLED, *MISSING], "a test")
    assert str(caught.value).startswith("a test needs Debian packages")
    command = "apt-get install --no-install-recommends no-program no-file"
    assert str(caught.value).endswith(command)


@pytest.mark.parametrize("split", ["trained", "held_out"])
def test_every_voice_of_festival_has_a_package(split: str) -> None:
    voices = {"trained": TRAINED, "held_out": HELD_OUT}[split]
    spoken = {v.name for kind in voices.values() for v in kind}
    spoken -= {v.name for k in voices.values() for v in k if v.program != "festival"}
    folders = {pathlib.PurePath(package.provides).name for package in VOICES[split]}
    assert folders - {"text2wave"} == spoken


def test_packages_for_evaluation_are_those_named_in_errors_of_the_reader() -> None:
    assert [package.name for package in EVALUATION] == [*real_recordings.PACKAGES]


def test_calibration_needs_the_packages_of_all_its_sounds() -> None:
    kept = [
        r.source.group for r in ADDED_CALIBRATION if isinstance(r.source, Recordings)
    ]
    assert kept == ["further_strange", "further_animals", "further_machines"]
    needed = {p.name for p in packages.rendering_packages("added_calibration")}
    assert needed >= {a.package for group in kept for a in ADDED_GROUPS[group]}
    assert needed >= {"bzflag-data", "pekka-kana-2-data", "netpanzer-data"}


def test_a_part_of_a_split_does_not_require_festival() -> None:
    whole = packages.rendering_packages("held_out")
    part = packages.rendering_packages("held_out", is_whole=False)
    assert {p.name for p in whole} - {p.name for p in part} == {
        *("festival", "festvox-itapc16k", "festvox-italp16k")
    }
    assert set(FONTS["held_out"]) < set(part)


def test_render_refuses_before_it_starts(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    monkeypatch.setitem(packages.FONTS, "held_out", MISSING)
    options = ["held_out", "--short", "--output", str(output), "--recipes"]
    with pytest.raises(SystemExit, match="2"):
        render.main([*options, "piano", "kazoo"])
    message = "held_out has no recipe named kazoo, expected some of: piano, "
    assert message in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        render.main([*options, "piano"])
    assert "rendering needs Debian packages" in capsys.readouterr().err
    assert not output.exists()


def test_recipes_are_chosen_in_the_order_of_the_split() -> None:
    chosen = render.choose_recipes("held_out", ["rain", "piano"])
    assert [recipe.name for recipe in chosen] == ["piano", "rain"]
    assert render.choose_recipes("trained", []) == RECIPES
    assert render.choose_recipes("calibration", []) == CALIBRATION


def test_evaluate_refuses_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate, "EVALUATION", MISSING)
    with pytest.raises(SystemExit, match="2"):
        evaluate.main(["no.pb"])
    assert "evaluation needs Debian packages" in capsys.readouterr().err
