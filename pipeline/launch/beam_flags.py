"""Checks the flags for Beam that follow `--` on the command line."""

import contextlib
import io
import logging

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.errors import ConfigError
from transforms.errors import did_you_mean

# Flags of Beam that fsdsinet sets itself, by runner ("" for all runners), with the
# reason or with what to do instead.
_SET_BY_FSDSINET = {
    "": {
        "--runner": "give --runner before -- instead",
        "--save_main_session": "leave it out, the workers have this package installed",
    },
    "local": {
        "--direct_num_workers": "give --workers before -- instead",
        "--direct_running_mode": "give --workers before -- instead",
    },
    "flink": {
        "--parallelism": "give --workers before -- instead",
        "--job_name": "leave it out, every job gets its own name",
        "--job_endpoint": "leave it out, every job gets its own job server",
        "--flink_submit_uber_jar": "leave it out, such a job loses its counters and "
        "cannot be stopped",
        "--load_balance_bundles": "leave it out, Beam's Flink jobs hang with it",
    },
    "dataflow": {
        "--num_workers": "give --workers (processes) before -- instead",
        "--job_name": "leave it out, every job gets its own name",
        "--dry_run": "give --dry-run before -- instead",
        "--number_of_worker_harness_threads": "leave it out, a worker process has one "
        "thread because Essentia holds Python's lock while it computes",
    },
}


def check_beam_flags(flags: tuple[str, ...], runner: str) -> None:
    """Checks flags before Beam reads them, because Beam only warns of unknown flags.

    Args:
        flags: Arguments after `--`.
        runner: Name of the runner, see `pipeline.config.RUNNERS`.

    Raises:
        ConfigError: for a flag that is malformed, unknown to Beam or set by fsdsinet.
    """
    set_by_fsdsinet = _SET_BY_FSDSINET[""] | _SET_BY_FSDSINET[runner]
    for before, flag in zip(("", *flags), flags, strict=False):
        is_value = before.startswith("-") and "=" not in before
        if flag in ("-h", "--help") or not (flag.startswith("-") or is_value):
            raise ConfigError(f"{flag!r} after --: expected flags for Beam only")
        instead = set_by_fsdsinet.get(flag.partition("=")[0])
        if instead:
            raise ConfigError(f"{flag} after --: {instead}")
    known, found = _read_by_beam(flags)
    unknown = sorted(found - known)
    if unknown:
        name = f"--{unknown[0]}"
        hint = did_you_mean(name, [f"--{flag}" for flag in known])
        raise ConfigError(
            f"Beam has no flag {name} (after --); "
            f"{hint or 'check its name'}; fsdsinet's own options stand before --"
        )


def _read_by_beam(flags: tuple[str, ...]) -> tuple[set[str], set[str]]:
    """Returns the names of Beam's options, without and with unknown flags.

    Raises:
        ConfigError: if Beam refuses a flag.
    """
    logging.getLogger("apache_beam.options").setLevel(logging.ERROR)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            options = PipelineOptions(list(flags))
            known = set(options.get_all_options())
            return known, set(options.get_all_options(retain_unknown_options=True))
    except SystemExit as error:
        reason = "".join(printed.getvalue().strip().splitlines()[-1:])
        raise ConfigError(f"Beam refuses a flag after --: {reason}") from error
