"""What goes wrong with a file or a folder, in words for people."""

from typing import Literal

Kind = Literal[
    "not_found", "not_a_file", "unreadable", "unsupported_uri", "unwritable", "locked"
]


class StorageError(Exception):
    """A file or folder cannot be read or written; secrets are cut out of the message.

    Attributes:
        kind: One word for what was found.
        uri: As it may be shown.
        problem: What was found, in the store's own words, and what to do.
    """

    def __init__(self, kind: Kind, uri: str, problem: str) -> None:
        super().__init__(f"{uri}: {problem}")
        self.kind = kind
        self.uri = uri
        self.problem = problem

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.kind, self.uri, self.problem)
