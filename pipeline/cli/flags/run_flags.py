"""The options of a run of models, for the commands that run them."""

from collections.abc import Collection
from typing import Any

from pipeline.cli.flags.parser import Parser, whole_number

INPUT_HELP = (
    "audio file, folder, glob pattern, manifest (.csv, .tsv, .jsonl or .parquet) or "
    "root folder of FSD50K; repeat for several"
)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


# Options that are keys of the YAML file, too. The defaults in the texts are those of
# RunConfig (a test compares them), which takes seconds to import.
_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "--model",
        {
            "dest": "models",
            "action": "append",
            "metavar": "NAME|PATH.pb",
            "help": "name of a model (see 'fsdsinet models list') or path of a graph; "
            "repeat for several",
        },
    ),
    (
        "--output",
        {
            "metavar": "OUT",
            "help": "folder of the dataset: a path, or a uri such as s3://bucket/name",
        },
    ),
    (
        "--engine",
        {
            "metavar": "winograd|torch|essentia",
            "help": "program that runs the models: winograd is the fastest on a CPU, "
            "torch runs on a CUDA device, essentia is the reference implementation "
            "(default: winograd)",
        },
    ),
    (
        "--precision",
        {
            "metavar": "float32|tf32|bfloat16",
            "help": "format in which engine torch computes; the last two are faster on "
            "a CUDA device and less exact (default: float32)",
        },
    ),
    (
        "--last-patch",
        {
            "metavar": "repeat|discard",
            "help": "how to treat the end of a clip that is too short for a patch: "
            "repeat it until the patch is full, or discard it (default: repeat)",
        },
    ),
    (
        "--patch-hop",
        {
            "type": whole_number,
            "metavar": "FRAMES",
            "help": "distance between the starts of two patches, in frames of 10 ms "
            "(default: 50)",
        },
    ),
    (
        "--outputs",
        {
            "type": _names,
            "metavar": "NAMES",
            "help": "what to store, separated by commas: activations and embeddings of "
            "every patch, events (default: activations,embeddings)",
        },
    ),
    (
        "--patches",
        {
            "metavar": "float32|float16|none",
            "help": "how values of patches are stored: as computed, rounded to half "
            "precision in less space, or not at all, so that only values of clips and "
            "events are stored (default: float32)",
        },
    ),
    (
        "--workers",
        {
            "type": whole_number,
            "metavar": "N",
            "help": "number of worker processes (default: one for every core of this "
            "machine, for every free slot of a Flink cluster, or for every core of one "
            "machine on Dataflow)",
        },
    ),
    (
        "--shard-clips",
        {
            "type": whole_number,
            "metavar": "N",
            "help": "number of clips that are computed and written together (default: "
            "up to 64, so that the parts take equally long)",
        },
    ),
    (
        "--clip-timeout",
        {
            "type": whole_number,
            "metavar": "SECONDS",
            "help": "time in which a clip must be read and decoded, to which 1 s for "
            "every 20 kB of its file is added; otherwise it fails with 'timeout' "
            "(default: 1800)",
        },
    ),
    (
        "--long-clip",
        {
            "type": whole_number,
            "metavar": "SECONDS",
            "help": "duration above which a clip is computed in segments of half of "
            "it, on several workers, with the same results (default: 600)",
        },
    ),
    (
        "--time-from",
        {
            "type": _names,
            "metavar": "NAMES",
            "help": "what may state when a recording started, separated by commas: the "
            "column recorded_at of the manifest, GUANO metadata, the comment of an "
            "AudioMoth, the name of the file; the first one with a time counts "
            "(default: column,guano,comment,name)",
        },
    ),
    (
        "--timezone",
        {
            "metavar": "AREA/CITY",
            "help": "zone of times that state none, such as Europe/Berlin (default: "
            "they stay local times without an offset)",
        },
    ),
    (
        "--runner",
        {
            "metavar": "local|flink|dataflow",
            "help": "where the job runs: on this machine, on a Flink cluster or on "
            "Google Cloud Dataflow (default: local)",
        },
    ),
    (
        "--detach",
        {
            "action": "store_true",
            "help": "return as soon as the job runs on its cluster; 'fsdsinet job' "
            "watches and stops it",
        },
    ),
    (
        "--retry-failed",
        {
            "action": "store_true",
            "help": "run the clips that failed in earlier runs again",
        },
    ),
    (
        "--retry-changed",
        {
            "action": "store_true",
            "help": "run the clips whose files changed since earlier runs again, and "
            "the clips that were written together with them",
        },
    ),
    (
        "--overwrite",
        {"action": "store_true", "help": "remove an existing dataset in OUT first"},
    ),
    (
        "--fail-on-error",
        {"action": "store_true", "help": "exit with code 1 if any clip failed"},
    ),
)


def add_run_flags(parser: Parser, flags: Collection[str] | None = None) -> None:
    """Adds options. Options that are not given set nothing.

    Args:
        parser: Parser of a command whose default for all arguments is to set nothing.
        flags: The options to add, such as `--model`; None for all.
    """
    for flag, settings in _OPTIONS:
        if flags is None or flag in flags:
            parser.add_argument(flag, **settings)
