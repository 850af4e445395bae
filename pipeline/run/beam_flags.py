"""What may follow `--`: flags that Beam knows and that are not ours to set."""

import contextlib
import io
import logging

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.errors import ConfigError

# By runner, what to do instead.
_OURS = {
    "": {
        "--runner": "give --runner before -- instead",
        "--save_main_session": "the workers have this package installed",
    },
    "local": {
        "--direct_num_workers": "give --workers before -- instead",
        "--direct_running_mode": "give --workers before -- instead",
    },
    "flink": {
        "--parallelism": "give --workers before -- instead",
        "--job_name": "every job gets a name of its own",
        "--job_endpoint": "every job gets a job server of its own",
        "--flink_submit_uber_jar": "such a job loses its counters, and cannot be "
        "stopped",
        "--load_balance_bundles": "Beam's Flink jobs hang with it",
    },
    "dataflow": {
        "--num_workers": "give --workers (processes) before -- instead",
        "--job_name": "every job gets a name of its own",
        "--dry_run": "give --dry-run before -- instead",
        "--number_of_worker_harness_threads": "a worker process has one thread: "
        "Essentia holds Python's lock while it computes",
    },
}


def check_beam_flags(flags: tuple[str, ...], runner: str) -> None:
    """Raises ConfigError for a flag that Beam does not know; Beam would only warn."""
    ours = _OURS[""] | _OURS[runner]
    for before, flag in zip(("", *flags), flags, strict=False):
        is_value = before.startswith("-") and "=" not in before
        if flag in ("-h", "--help") or not (flag.startswith("-") or is_value):
            raise ConfigError(f"{flag!r} after --: expected flags for Beam only")
        instead = ours.get(flag.partition("=")[0])
        if instead:
            raise ConfigError(f"{flag} after --: {instead}")
    logging.getLogger("apache_beam.options").setLevel(logging.ERROR)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = PipelineOptions(list(flags))
            known = options.get_all_options()
            found = options.get_all_options(retain_unknown_options=True)
    except SystemExit as error:
        reason = said.getvalue().strip().splitlines()[-1:]
        raise ConfigError(f"Beam refuses a flag after --: {reason}") from error
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise ConfigError(
            f"Beam has no flag --{unknown[0]} (after --); check its name, and give "
            "fsdsinet's own options before --"
        )
