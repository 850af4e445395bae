"""Keeps runs and cluster jobs from writing to a dataset while a command changes it."""

import contextlib
from collections.abc import Iterator

from pipeline.dataset.folder import Dataset
from pipeline.dataset.replace_parts import finish_swap
from pipeline.runners.job_folder import JobFolder


@contextlib.contextmanager
def without_runs(dataset: Dataset) -> Iterator[None]:
    """Locks a dataset until the block ends, and ends what a killed compaction began.

    Raises:
        ConfigError: if a run is writing to the dataset.
        DatasetError: if the dataset is damaged.
    """
    with dataset.locked():
        if JobFolder(dataset).note():
            # Runners take long to load.
            from pipeline.launch.cluster_jobs import check_no_job

            check_no_job(dataset)
        JobFolder(dataset).settle()
        finish_swap(dataset)
        yield
