"""Errors of the command line, in addition to those of `transforms.errors`."""

from transforms.errors import UserError


class ConfigError(UserError):
    """An option, an input or the output cannot be used."""


class DatasetError(UserError):
    """A folder holds no dataset, or its files contradict each other."""
