"""The error that means: the user can mend this before anything starts."""


class ConfigError(Exception):
    """Wrong options, configuration, input or output. Ends the command with code 2."""
