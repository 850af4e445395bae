"""EventOptions: what counts as an event, as options of commands and keys in YAML."""

import dataclasses
from collections.abc import Sequence
from typing import cast

from pipeline.errors import ConfigError
from transforms.events.settings import Bounds, EventSettings, LabelThresholds
from transforms.events.thresholds import Threshold, read_thresholds
from transforms.storage import StorageError


def label_thresholds(
    settings: EventSettings, labels: Sequence[str], model: str
) -> LabelThresholds:
    """Returns the thresholds of a model's labels.

    Raises:
        ConfigError: if the settings name a label that the model does not have.
    """
    try:
        return settings.of_labels(labels)
    except ValueError as error:
        raise ConfigError(f"model {model}: {error}") from error


def thresholds_of_file(path: str) -> dict[str, Threshold]:
    """Reads a file of thresholds: label -> its threshold.

    Raises:
        ConfigError: if the file cannot be read, or a column or a value is wrong.
    """
    try:
        return read_thresholds(path)
    except StorageError as error:
        raise ConfigError(f"cannot read thresholds {error}") from error
    except ValueError as error:
        raise ConfigError(f"cannot read thresholds {path}: {error}") from error


@dataclasses.dataclass(frozen=True)
class EventOptions:
    """Options of `fsdsinet events`, and of `fsdsinet extract --outputs events`.

    Attributes:
        label: Labels whose events are wanted; all if empty.
        threshold: Activation from which an event begins; None for the default.
        thresholds: CSV file with the thresholds of labels; empty for none.
        low: Activation below which an event ends; the threshold if None.
        smooth: Length of the median filter in seconds.
        merge_gap: Events of one label with at most this distance (s) become one.
        min_duration: Seconds that an event lasts at least.
        leaves: Whether events of labels above others in the hierarchy are dropped.
        bounds: Time for which a patch stands: `patch` or `hop`.
    """

    label: tuple[str, ...] = ()
    threshold: float | None = None
    thresholds: str = ""
    low: float | None = None
    smooth: float = 0.0
    merge_gap: float = 0.0
    min_duration: float = 0.0
    leaves: bool = False
    bounds: str = "patch"

    def settings(self) -> EventSettings:
        """Reads the thresholds and checks all options.

        Raises:
            ConfigError: if an option is out of range, or the file cannot be used.
        """
        thresholds = thresholds_of_file(self.thresholds) if self.thresholds else {}
        try:
            return EventSettings(
                threshold=self.threshold,
                thresholds=thresholds,
                low=self.low,
                labels=self.label,
                smooth_s=self.smooth,
                min_duration_s=self.min_duration,
                merge_gap_s=self.merge_gap,
                leaves=self.leaves,
                bounds=cast("Bounds", self.bounds),
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error
