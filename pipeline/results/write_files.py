"""Writes the files of a result into a folder, on a disk or in a bucket."""

from collections.abc import Mapping

from pipeline.errors import ConfigError
from transforms import storage


def write_files(contents: Mapping[str, bytes], folder: str, what: str) -> None:
    """Writes files in their order. Replaces those of an earlier result.

    Args:
        contents: Name of a file -> its content.
        folder: Path or uri of the folder.
        what: What is written, for messages.

    Raises:
        ConfigError: if the folder cannot be written.
    """
    try:
        for name, content in contents.items():
            with storage.publish(storage.join(folder, name)) as file:
                file.write(content)
    except storage.StorageError as error:
        raise ConfigError(f"cannot write {what}: {error}") from error
