"""fsdsinet shift-test: measures how much results change when sounds are shifted."""

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from pipeline.cli.flags.parser import (
    Commands,
    Parser,
    add_command,
    number,
    whole_number,
)
from pipeline.cli.flags.run_flags import INPUT_HELP, add_run_flags

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.inputs.shifts import ShiftSettings
    from pipeline.results.shift_test.summary import SummarySettings

# Options of extract, and their names in RunConfig.
_RUN_FLAGS = {
    "--model": "models",
    "--engine": "engine",
    "--precision": "precision",
    "--workers": "workers",
    "--clip-timeout": "clip_timeout",
    "--retry-failed": "retry_failed",
    "--retry-changed": "retry_changed",
    "--overwrite": "overwrite",
}
# Names in the output folder.
_MANIFEST, _DATASET, _BINS = "manifest.parquet", "dataset", "bins"


def add_parser(commands: Commands) -> None:
    """Adds the command to the parser."""
    parser = add_command(
        commands,
        "shift-test",
        run,
        "measure how much results change when sounds are shifted",
        "Shifts clips in time by small offsets, runs models on all versions, and "
        "compares the results: how often the top label stays the same, and how much "
        "activations and embeddings change. To continue a run that was stopped, run "
        "the same command again.",
        usage="fsdsinet shift-test INPUT ... --model NAME|PATH.pb [--model ...] "
        "--output FOLDER [OPTION ...]",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=INPUT_HELP)
    parser.add_argument(
        "--output",
        required=True,
        metavar="FOLDER",
        help="folder for tables, pictures and the dataset of all versions",
    )
    add_run_flags(parser, _RUN_FLAGS)
    _add_options(parser)


def _add_options(parser: Parser) -> None:
    parser.add_argument(
        "--clips",
        dest="num_clips",
        type=whole_number,
        metavar="N",
        help="number of clips to draw (default: 200)",
    )
    parser.add_argument(
        "--offsets",
        dest="offsets_ms",
        type=_numbers,
        metavar="MS,MS,...",
        help="offsets in milliseconds, increasing (default: 24 from one sample to the "
        "distance between two patches)",
    )
    parser.add_argument(
        "--bins",
        dest="num_bins",
        type=whole_number,
        metavar="N",
        help="also shift the log-mel by 1 to N mel bins up and down (default: 0, none)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number,
        metavar="N",
        help="random seed of the draw and of the bootstrap (default: 0)",
    )
    parser.add_argument(
        "--class-clips",
        type=whole_number,
        metavar="N",
        help="number of clips from which a class has a row of its own (default: 5)",
    )
    parser.add_argument(
        "--resamples",
        dest="num_resamples",
        type=whole_number,
        metavar="N",
        help="number of bootstrap resamples for the confidence intervals (default: "
        "1000)",
    )


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(map(number, text.split(",")))


def run(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code."""
    from pipeline.runners.job_process import LOCAL_JOB, JobProcess

    # The job process loads Beam on another core while this process plans.
    with JobProcess(LOCAL_JOB) as early:
        from pipeline.console import say
        from pipeline.launch.launch import EXIT_OK, extract_command

        config, settings, summary_settings = _read_options(arguments)
        _plan(arguments.inputs, settings, config)
        code = extract_command(config, early)
    for bins in settings.bins:
        if code != EXIT_OK:
            break
        say(f"shift of {bins:+d} mel bins:")
        code = extract_command(_shifted(config, bins, arguments.output), None)
    if code != EXIT_OK:
        return code
    return _compare(arguments.output, summary_settings, settings.bins)


def _shifted(config: "RunConfig", bins: int, folder: str) -> "RunConfig":
    """The run over the unshifted versions, with a shift in mel bins."""
    from pipeline.dataset.folder import Dataset
    from transforms import storage

    output = _bins_dataset(folder, bins)
    return dataclasses.replace(
        config,
        inputs=(storage.join(folder, _BINS, _MANIFEST),),
        output=output,
        # A test that was stopped may not have come to this shift.
        retry_failed=config.retry_failed and bool(Dataset(output).parts("ledger")),
        patch_spec=dataclasses.replace(config.patch_spec, bin_shift=bins),
    )


def _bins_dataset(folder: str, bins: int) -> str:
    from transforms import storage

    return storage.join(folder, _BINS, f"{bins:+d}")


def _read_options(
    arguments: argparse.Namespace,
) -> "tuple[RunConfig, ShiftSettings, SummarySettings]":
    """Returns the settings of the run of models, of the plan and of the summary.

    Raises:
        ConfigError: if an option is out of range.
    """
    from pipeline.config import load_config
    from pipeline.inputs.shifts import ShiftSettings
    from pipeline.results.shift_test.summary import SummarySettings
    from transforms import storage

    def given(*keys: str) -> dict[str, Any]:
        return {key: getattr(arguments, key) for key in keys if key in arguments}

    run_options = given(*_RUN_FLAGS.values()) | {
        "inputs": [storage.join(arguments.output, _MANIFEST)],
        "output": storage.join(arguments.output, _DATASET),
    }
    return (
        load_config(None, [], run_options),
        ShiftSettings(**given("num_clips", "offsets_ms", "seed", "num_bins")),
        SummarySettings(**given("class_clips", "num_resamples", "seed")),
    )


def _plan(inputs: list[str], settings: "ShiftSettings", config: "RunConfig") -> None:
    """Draws clips, and writes the manifest of their versions.

    Raises:
        UserError: if a model cannot be used, no clip can be shifted, or the folder has
            another manifest.
    """
    from pipeline.console import say
    from pipeline.errors import ConfigError
    from pipeline.inputs.manifest_files import read_manifest_file, write_manifest_file
    from pipeline.inputs.read_inputs import read_inputs
    from pipeline.inputs.shifts import plan_shifts
    from transforms import storage
    from transforms.models.loading import load_models

    # A wrong model is refused before a file is written.
    load_models(list(config.models))
    plan = plan_shifts(read_inputs(inputs), settings)
    for note in plan.notes(settings):
        say(note)
    path = storage.absolute(config.inputs[0])
    if storage.look_up(path) and not config.overwrite:
        before = read_manifest_file(path)
        if not before.select(plan.table.column_names).equals(plan.table):
            raise ConfigError(
                f"{storage.shown(path)} has other clips or offsets than this test; "
                "give a new --output, the old inputs and options, or --overwrite"
            )
    else:
        write_manifest_file(plan.table, path)
    if settings.num_bins:
        folder = storage.folder_of(path)
        write_manifest_file(plan.unshifted, storage.join(folder, _BINS, _MANIFEST))


def _compare(folder: str, settings: "SummarySettings", bins: tuple[int, ...]) -> int:
    """Compares the versions, and writes and prints the results."""
    from pipeline.dataset.folder import Dataset
    from pipeline.dataset.snapshot import Snapshot
    from pipeline.results.shift_test.changes import (
        find_bin_clips,
        find_shifted_clips,
        read_bin_changes,
        read_changes,
    )
    from pipeline.results.shift_test.shift_files import (
        BIN_NAMES,
        NAMES,
        write_shift_test,
    )
    from pipeline.results.shift_test.shift_lines import shift_lines
    from pipeline.results.shift_test.summary import sum_up
    from transforms import storage

    output = storage.join(folder, _DATASET)
    models = [entry["name"] for entry in Dataset(output).existing_run()["models"]]
    snapshot = Snapshot(output, models[0])
    clips = find_shifted_clips(snapshot)
    changes = [read_changes(snapshot.of_model(model), clips) for model in models]
    summary = sum_up(changes, settings)
    in_bins = None
    if bins:
        shifted = {x: Snapshot(_bins_dataset(folder, x), models[0]) for x in bins}
        clips = find_bin_clips(clips, shifted)
        others = [*shifted.values()]
        in_bins = sum_up(
            [read_bin_changes(snapshot.of_model(x), others, clips) for x in models],
            settings,
        )
    write_shift_test(summary, snapshot, folder, in_bins)
    print("\n".join(shift_lines(summary, in_bins)))
    names = (*NAMES, *(BIN_NAMES if bins else ()))
    print(f"written to {storage.shown(folder)}: {', '.join(names)}")
    return 0
