"""The README says what the program does."""

import re

from pipeline.config import RunConfig
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("pipeline", "transforms")
    for path in (ROOT / folder).glob("*.py")
)


def test_every_option_is_documented() -> None:
    from pipeline.cli import _parser

    parser = _parser()
    (commands,) = [a for a in parser._actions if a.choices and "extract" in a.choices]
    actions = commands.choices["extract"]._actions  # type: ignore[index]
    options = {name for action in actions for name in action.option_strings}
    documented = set(re.findall(r"--[a-z][a-z-]*", README))
    assert options - {"-h", "--help", "--runner"} <= documented
    known = options | {"--clip", "--version", "--help"}
    assert documented <= known


def test_every_error_type_and_flag_is_documented() -> None:
    error_types = set(re.findall(r'"(?:decode|read|worker)",\s*"([a-z_]+)"', SOURCES))
    error_types |= set(re.findall(r'_error\(\s*[a-z_.]*clip_id, "([a-z_]+)"', SOURCES))
    error_types |= set(re.findall(r'problem = \("([a-z_]+)"', SOURCES))
    assert len(error_types) >= 8
    for name in error_types:
        assert f"`{name}`" in README, name
    for name in (
        "short",
        "silent",
        "clipped",
        "dc_offset",
        "multichannel",
        "truncated",
    ):
        assert f"`{name}`" in README and f'"{name}"' in SOURCES


def test_the_tree_in_the_readme_is_the_tree() -> None:
    tree = README.partition("```\npipeline/ ")[2].partition("```")[0]
    for name in re.findall(r"[a-z_0-9]+\.py", tree):
        places = [ROOT / folder / name for folder in ("pipeline", "transforms")]
        assert any(place.exists() for place in places), name
    for folder in ("pipeline", "transforms"):
        for path in (ROOT / folder).glob("[a-z]*.py"):
            assert path.name in tree or path.name in ("errors.py", "essentia_import.py")


def test_every_yaml_key_is_explained() -> None:
    for name in RunConfig.__dataclass_fields__:
        assert name in (RunConfig.__doc__ or ""), name
