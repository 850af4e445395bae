"""The README and the documents beside it say what the program does."""

import argparse
import re
from typing import get_args

from pipeline.cli.main import _parser
from pipeline.config import RunConfig
from pipeline.runners.workers import boot
from tests.conftest import ROOT
from transforms.models.registry import registered_models
from transforms.storage.errors import Kind

README = (ROOT / "README.md").read_text(encoding="utf-8")
# The rest of what users read.
DOCS = README + "".join(p.read_text("utf-8") for p in (ROOT / "docs").glob("*.md"))
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("pipeline", "transforms")
    for path in (ROOT / folder).rglob("*.py")
)


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """The options of a parser and of all its commands."""
    options: set[str] = set()
    for action in parser._actions:
        options.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                options |= options_of(command)
    return options


def test_every_option_is_documented() -> None:
    known = options_of(_parser()) | options_of(boot._parser())
    known |= {"--task-managers", "--folder"}  # python -m deploy.flink
    # Beam's flags have underscores.
    documented = set(re.findall(r"--[a-z][a-z-]*\b(?!_)", DOCS))
    assert {"--from", "--clip", "--model"} <= known
    contract = {"--id", *(f"--{name}_endpoint" for name in boot.ENDPOINTS)}
    unsaid = {"--help", "--version", "--folder", "-h"} | contract
    assert known - unsaid <= documented
    assert documented <= known


def test_every_published_model_is_documented() -> None:
    for model in registered_models().values():
        if model.published_map is not None:
            row = f"{model.published_map} ± {model.published_map_std} |"
            assert f"| `{model.name}` | {model.embedding_size} | {row}" in README


def test_every_error_type_and_flag_is_documented() -> None:
    error_types = set(re.findall(r'"(?:decode|read|worker)",\s*"([a-z_]+)"', SOURCES))
    error_types |= set(re.findall(r'_error\(\s*[a-z_.]*clip_id, "([a-z_]+)"', SOURCES))
    error_types |= {*get_args(Kind)} - {"unwritable", "locked"}
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


def test_every_variable_is_documented() -> None:
    variables = set(re.findall(r'"(FSDSINET_[A-Z_]+|AWS_[A-Z_]+)"', SOURCES))
    internal = {"FSDSINET_PARENT_PID", "FSDSINET_STATUS_FOLDER", "FSDSINET_COPIES"}
    assert len(variables - internal) > 5
    for name in variables - internal:
        assert name in DOCS, name


def test_every_yaml_key_is_explained() -> None:
    for name in RunConfig.__dataclass_fields__:
        assert name in (RunConfig.__doc__ or ""), name
