"""RunConfig: the options of a run, from defaults, a YAML file and flags.

What is wrong with them is found here, before anything starts.
"""

import dataclasses
import difflib
import os
import pathlib
import types
import typing
from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.errors import ConfigError
from transforms.engines.table import ENGINES
from transforms.front_end.patches import DEFAULT_PATCH_HOP_FRAMES
from transforms.schemas import OUTPUTS

RUNNERS = ("local", "flink", "dataflow")
_MAX_PATCH_HOP_FRAMES = 101


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Options of `fsdsinet extract`; each is a key in YAML and for `--set`.

    Attributes:
        inputs: Manifests, audio files, folders, globs, FSD50K roots.
        models: Names of published models, or paths of .pb files.
        output: Folder of the dataset.
        engine: What runs the graphs.
        last_patch: `repeat` keeps the end of every clip, `discard` drops it.
        patch_hop: From one patch to the next, in frames of 10 ms (220 samples).
        outputs: What is stored for every patch.
        workers: Worker processes; one a core if None.
        shard_clips: Clips in a shard; if None, shards of equal predicted work.
        retry_failed: Run the clips that failed before again.
        overwrite: Remove an existing dataset in `output` first.
        fail_on_error: Exit with code 1 if clips failed.
        runner: Where the job runs.
        detach: Return once a job on a cluster runs.
        beam_flags: For Beam, as given after `--`.
    """

    inputs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    output: str = ""
    engine: str = "winograd"
    last_patch: str = "repeat"
    patch_hop: int = DEFAULT_PATCH_HOP_FRAMES
    outputs: tuple[str, ...] = OUTPUTS
    workers: int | None = None
    shard_clips: int | None = None
    retry_failed: bool = False
    overwrite: bool = False
    fail_on_error: bool = False
    runner: str = "local"
    detach: bool = False
    beam_flags: tuple[str, ...] = ()


_TYPES = typing.get_type_hints(RunConfig)


def load_config(
    yaml_path: str | None, settings: list[str], flags: Mapping[str, Any]
) -> RunConfig:
    """Merges defaults, the YAML file, `--set key=value` and flags; later ones win.

    Raises:
        ConfigError: for an unknown key, a value of the wrong type or out of range, and
            missing options.
    """
    values: dict[str, Any] = {}
    if yaml_path:
        values |= _checked(_read_yaml(yaml_path), yaml_path)
    values |= _checked(dict(map(_parse_setting, settings)), "--set")
    values |= _checked(dict(flags), "flags")
    config = RunConfig(**values)
    _check(config)
    return config


def _read_yaml(path: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read configuration {path}: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"configuration {path} is not a list of `key: value` lines")
    return content


def _parse_setting(setting: str) -> tuple[str, Any]:
    key, equals, value = setting.partition("=")
    if not equals:
        raise ConfigError(f"--set {setting}: expected key=value")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {setting}: the value is not YAML: {error}") from error


def _checked(values: dict[str, Any], source: str) -> dict[str, Any]:
    return {key: _convert(key, value, source) for key, value in values.items()}


def _convert(key: str, value: Any, source: str) -> Any:
    """Refuses unknown keys and wrong types; one value may stand for a list."""
    if key not in _TYPES:
        near = difflib.get_close_matches(str(key), _TYPES, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"{source}: unknown key {key!r}; {hint}known keys: {', '.join(_TYPES)}"
        )
    kind = _TYPES[key]
    if kind == tuple[str, ...]:
        items = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{source}: {key} is {value!r}, expected text or a list")
        if key in ("inputs", "models"):
            items = [os.path.expanduser(item) for item in items]
        return tuple(items)
    allowed = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    # bool is an int in Python, but `workers: yes` is a mistake.
    if type(value) not in allowed:
        names = " or ".join("empty" if t is type(None) else t.__name__ for t in allowed)
        raise ConfigError(f"{source}: {key} is {value!r}, expected {names}")
    return os.path.expanduser(value) if key == "output" else value


def _check(config: RunConfig) -> None:
    for key, example in (
        ("inputs", "INPUT"),
        ("models", "--model"),
        ("output", "--output"),
    ):
        if not getattr(config, key):
            raise ConfigError(
                f"nothing given for {key}; give {example} or set it in YAML"
            )
    _check_choice("engine", config.engine, tuple(ENGINES))
    _check_choice("last_patch", config.last_patch, ("repeat", "discard"))
    _check_choice("runner", config.runner, RUNNERS)
    for name in config.outputs or ("",):
        _check_choice("outputs", name, OUTPUTS)
    if len(set(config.outputs)) != len(config.outputs):
        raise ConfigError(f"outputs is {','.join(config.outputs)}: name each once")
    if config.detach and config.runner == "local":
        raise ConfigError("detach is for clusters: a local run ends with its launcher")
    if not 1 <= config.patch_hop <= _MAX_PATCH_HOP_FRAMES:
        raise ConfigError(
            f"patch_hop is {config.patch_hop}, expected 1 to {_MAX_PATCH_HOP_FRAMES} "
            "frames (a longer hop would skip audio)"
        )
    for key in ("workers", "shard_clips"):
        value = getattr(config, key)
        if value is not None and value < 1:
            raise ConfigError(f"{key} is {value}, expected at least 1")


def _check_choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{key} is {value!r}, expected one of: {', '.join(allowed)}")
