"""Errors whose message tells the user what to change."""


class UserError(Exception):
    """Something that the user gave cannot be used.

    The message says what was found, what was expected and what to do.
    """


class ModelError(UserError):
    """A model is missing, is not an FSD-SINet, or does not fit its metadata."""
