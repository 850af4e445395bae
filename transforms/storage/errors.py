"""The error that every store raises: StorageError."""

from typing import Literal

Kind = Literal[
    "not_found", "not_a_file", "unreadable", "unsupported_uri", "unwritable", "locked"
]


class StorageError(Exception):
    """A file or folder cannot be read or written. The message contains no secrets.

    Attributes:
        kind: Kind of problem, in one word.
        uri: Path or uri of the file or folder, without passwords and signatures.
        problem: What failed, with the store's own error text, and what to do.
        is_refused: Whether the store answered but denied access.
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
