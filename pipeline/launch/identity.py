"""The identity of a dataset: the settings and versions that decide its numbers."""

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import av
import pyarrow as pa

from pipeline.config import RunConfig
from pipeline.errors import ConfigError
from pipeline.event_options import label_thresholds
from transforms.engines.contract import ModelSpec
from transforms.essentia_import import essentia_version
from transforms.front_end.patches import FRONT_END_VERSION
from transforms.recorded_at.choose import RECORDED_AT_COLUMN
from transforms.schemas import DEFAULT_PATCH_FORMAT, SCHEMA_VERSION, DatasetSpec

# Settings that came later, so that older datasets go on: their values where an identity
# does not have them.
_ABSENT = {"bin_shift": 0, "patches": DEFAULT_PATCH_FORMAT}


def dataset_spec(
    config: RunConfig, models: tuple[ModelSpec, ...], fields: tuple[pa.Field, ...]
) -> DatasetSpec:
    """Describes what a run writes.

    Args:
        config: Configuration of the run.
        models: Checked models with their engines.
        fields: Manifest fields after the uri. They are copied to the ledger, but for
            `recorded_at`, which is a column of the ledger itself.

    Raises:
        ConfigError: if events of a label are wanted that a model does not have.
    """
    events = None
    if "events" in config.outputs:
        events = config.events.settings()
        for model in models:
            # Refuses labels that a model does not have, before anything starts.
            label_thresholds(events, model.labels, model.name)
    carried = tuple(field for field in fields if field.name != RECORDED_AT_COLUMN)
    return DatasetSpec(
        models=models,
        outputs=config.outputs,
        patch_spec=config.patch_spec,
        versions=_versions(),
        manifest_fields=carried,
        events=events,
        patches=config.patches,
    )


def _versions() -> dict[str, str]:
    names = ("fsd-sinet-beam", "apache-beam", "av", "numpy", "pyarrow")
    versions = {name: importlib.metadata.version(name) for name in names}
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    # Under this name also if the package without TensorFlow is installed: the front end
    # is the same.
    versions["essentia-tensorflow"] = essentia_version()
    return {**versions, "libavcodec": libavcodec, "python": platform.python_version()}


def identity(spec: DatasetSpec) -> dict[str, Any]:
    """Everything that decides the numbers of a dataset, as run.json has it.

    All runs that add to a dataset must have the same identity.
    """
    content = {
        "models": sorted(
            f"{model.name} sha256:{model.sha256} metadata:{model.metadata_digest()}"
            for model in spec.models
        ),
        "engines": {model.name: model.engine_text for model in spec.models},
        "last_patch": spec.patch_spec.last_patch,
        "patch_hop": spec.patch_spec.patch_hop,
        "outputs": sorted(spec.outputs),
        "front_end_version": FRONT_END_VERSION,
        "schema_version": SCHEMA_VERSION,
        "essentia_version": spec.versions["essentia-tensorflow"],
    }
    # Before clips could be excerpts, columns with these names had no meaning.
    content |= {"excerpts": True} if spec.has_excerpts else {}
    later = {"bin_shift": spec.patch_spec.bin_shift, "patches": spec.patches}
    content |= {key: x for key, x in later.items() if x != _ABSENT[key]}
    if spec.events:
        # As JSON reads it again, with lists for tuples.
        content["events"] = json.loads(json.dumps(dataclasses.asdict(spec.events)))
    return content


def times_text(before: Mapping[str, Any], config: RunConfig) -> str:
    """Says that rows of an earlier run have their times by other settings.

    These settings change no number, and are no part of the identity: no clip has to be
    computed again for another zone.

    Args:
        before: Configuration in run.json.
        config: Configuration of this run.

    Returns:
        A sentence; empty if the settings are the same.
    """
    was = _times_options(before["time_from"], before["timezone"])
    is_now = _times_options(config.time_from, config.timezone)
    if was == is_now:
        return ""
    return (
        f"rows that are done keep their recorded_at, found with {was}; new rows get "
        f"theirs with {is_now}"
    )


def _times_options(sources: Iterable[str], timezone: str | None) -> str:
    zone = f"--timezone {timezone}" if timezone else "no --timezone"
    return f"--time-from {','.join(sources)} and {zone}"


def check_same_identity(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises ConfigError if a dataset was made with other settings."""
    before, now = _ABSENT | before, _ABSENT | now
    changed = [key for key in now if before.get(key) != now[key]]
    if changed:
        lines = [
            line
            for key in changed
            for line in _lines(key, before.get(key), now.get(key))
        ]
        raise ConfigError(
            "the output holds a dataset made with other settings:\n"
            + "\n".join(lines)
            + "\ngive a new --output, the old settings, or --overwrite"
        )


def _lines(key: str, before: Any, now: Any) -> Iterator[str]:
    """Says what differs; of two dicts, the entries that differ."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        yield f"  {key}: was {before}, is {now}"
        return
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield from _lines(f"{key}, {name}", before.get(name), now.get(name))
