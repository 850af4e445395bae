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
        is_refused: The store is there and does not let us in.
    """

    def __init__(
        self, kind: Kind, uri: str, problem: str, is_refused: bool = False
    ) -> None:
        super().__init__(f"{uri}: {problem}")
        self.is_refused = is_refused
        self.kind = kind
        self.uri = uri
        self.problem = problem

    def __reduce__(self) -> tuple[type, tuple[str, str, str, bool]]:
        return type(self), (self.kind, self.uri, self.problem, self.is_refused)
