"""RunConfig: the options of a run, from defaults, a YAML file and flags.

Every option is checked here, before anything starts.
"""

import dataclasses
import os
import pathlib
import types
import typing
from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.errors import ConfigError
from pipeline.event_options import EventOptions
from transforms.decoding.reading import CLIP_TIMEOUT_S, LONGEST_S
from transforms.engines.contract import DEFAULT_PRECISION
from transforms.engines.registered import DEFAULT_ENGINE, check_engine_options
from transforms.errors import did_you_mean, unknown_value
from transforms.front_end.patches import DEFAULT_PATCHES, PatchSpec
from transforms.recorded_at.choose import SOURCES, TimeSettings
from transforms.schemas import DEFAULT_OUTPUTS, DEFAULT_PATCH_FORMAT, check_outputs

RUNNERS = ("local", "flink", "dataflow")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Options of `fsdsinet extract`. Each is a key in YAML and for `--set`.

    Attributes:
        inputs: Manifests, audio files, folders, globs and FSD50K roots.
        models: Names of models, or paths of .pb files.
        output: Folder of the dataset.
        engine: Name of the engine that runs the graphs.
        precision: Format in which the engine computes, one of PRECISIONS.
        patch_spec: How patches are cut. In YAML and for `--set` the keys are those of
            PatchSpec: `patch_hop` and `last_patch`. Its `bin_shift` is no option: only
            a shift test sets it.
        outputs: What is stored: values of every patch, and events.
        patches: How values of patches are stored, one of PATCH_FORMATS.
        events: What counts as an event, if `events` is one of the outputs. In YAML and
            for `--set` the keys are those of EventOptions.
        time_from: What states when a recording started; the first that does counts.
        timezone: IANA name of the zone of times that state none; None if they stay
            local times.
        workers: Number of worker processes; one for every core if None.
        shard_clips: Clips in a shard; if None, shards have equal predicted work.
        clip_timeout: Seconds in which a clip must be read and decoded; 1 s for every
            20 kB of its file is added.
        long_clip: Seconds above which a clip is computed in segments of half of them.
        retry_failed: Whether clips that failed before are run again.
        retry_changed: Whether clips whose files changed are run again.
        overwrite: Whether an existing dataset in `output` is removed first.
        fail_on_error: Whether failed clips make the exit code 1.
        runner: Where the job runs: a member of RUNNERS.
        detach: Whether the command returns once a job on a cluster runs.
        beam_flags: Flags for Beam, as given after `--`.
    """

    inputs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    output: str = ""
    engine: str = DEFAULT_ENGINE
    precision: str = DEFAULT_PRECISION
    patch_spec: PatchSpec = DEFAULT_PATCHES
    outputs: tuple[str, ...] = DEFAULT_OUTPUTS
    patches: str = DEFAULT_PATCH_FORMAT
    events: EventOptions = EventOptions()
    time_from: tuple[str, ...] = SOURCES
    timezone: str | None = None
    workers: int | None = None
    shard_clips: int | None = None
    clip_timeout: int = CLIP_TIMEOUT_S
    long_clip: int = LONGEST_S
    retry_failed: bool = False
    retry_changed: bool = False
    overwrite: bool = False
    fail_on_error: bool = False
    runner: str = "local"
    detach: bool = False
    beam_flags: tuple[str, ...] = ()

    @property
    def times(self) -> TimeSettings:
        """How the start of a recording is found."""
        return TimeSettings(self.time_from, self.timezone)

    def as_options(self) -> dict[str, Any]:
        """The options by key, as in YAML."""
        options = dataclasses.asdict(self)
        patch_spec = options.pop("patch_spec")
        # As run.json had it before there were shifts.
        if not patch_spec["bin_shift"]:
            del patch_spec["bin_shift"]
        return options | patch_spec | options.pop("events")


_PATCH_TYPES = typing.get_type_hints(PatchSpec) | {"last_patch": str}
del _PATCH_TYPES["bin_shift"]
_EVENT_TYPES = typing.get_type_hints(EventOptions)
# Types by key, as in YAML.
_TYPES = typing.get_type_hints(RunConfig) | _PATCH_TYPES | _EVENT_TYPES
del _TYPES["patch_spec"], _TYPES["events"]


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
    patch_values = {key: values.pop(key) for key in _PATCH_TYPES if key in values}
    event_values = {key: values.pop(key) for key in _EVENT_TYPES if key in values}
    try:
        config = RunConfig(
            **values,
            patch_spec=PatchSpec(**patch_values),
            events=EventOptions(**event_values),
        )
        check_outputs(config.outputs, config.patches)
        # Checks its values.
        TimeSettings(config.time_from, config.timezone)
        check_engine_options(config.engine, config.precision)
    except ValueError as error:
        raise ConfigError(str(error)) from error
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
        hint = did_you_mean(str(key), _TYPES) or f"known keys: {', '.join(_TYPES)}"
        raise ConfigError(f"{source}: unknown key {key!r}; {hint}")
    kind = _TYPES[key]
    if kind == tuple[str, ...]:
        items = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{source}: {key} is {value!r}, expected text or a list")
        if key in ("inputs", "models"):
            items = [os.path.expanduser(item) for item in items]
        return tuple(items)
    allowed = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(value) is int and float in allowed:
        value = float(value)
    # bool is an int in Python, but `workers: yes` is a mistake.
    if type(value) not in allowed:
        names = " or ".join("empty" if t is type(None) else t.__name__ for t in allowed)
        raise ConfigError(f"{source}: {key} is {value!r}, expected {names}")
    return os.path.expanduser(value) if key in ("output", "thresholds") else value


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
    if config.runner not in RUNNERS:
        raise ConfigError(unknown_value("runner", config.runner, RUNNERS))
    if config.events != EventOptions() and "events" not in config.outputs:
        raise ConfigError(
            f"options of events are given, and outputs is {','.join(config.outputs)}; "
            "add events to --outputs, or find events later with 'fsdsinet events'"
        )
    if config.detach and config.runner == "local":
        raise ConfigError("detach is for clusters: a local run ends with its launcher")
    for key in ("workers", "shard_clips", "clip_timeout", "long_clip"):
        value = getattr(config, key)
        if value is not None and value < 1:
            raise ConfigError(f"{key} is {value}, expected at least 1")
