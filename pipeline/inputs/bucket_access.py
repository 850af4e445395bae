"""Checks before a run that its buckets can be read."""

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from transforms import storage
from transforms.storage import StorageError

# Several clips of a bucket are tried: a store may also answer "access denied" for a
# single clip that does not exist.
_NUM_TRIED = 3
_MAX_BUCKETS = 20


def check_reach(uris: pa.ChunkedArray) -> None:
    """Raises an error if a bucket refuses access to its first clips.

    Without this check and without credentials, the run would start, and every clip
    would fail.

    Args:
        uris: Uris of all clips of the run, strings.

    Raises:
        ConfigError: if a bucket refuses access to all clips that were tried.
    """
    remote = uris.filter(pc.match_substring_regex(uris, r"^(?i:s3|gs)://[^/]+/"))
    found = pc.extract_regex(remote, r"^(?P<bucket>[^/]+//[^/]+)/")
    buckets = pc.unique(pc.struct_field(found, "bucket")).to_pylist()
    for bucket in buckets[:_MAX_BUCKETS]:
        rows = pc.indices_nonzero(pc.starts_with(remote, f"{bucket}/"))
        clips = remote.take(rows[:_NUM_TRIED]).to_pylist()
        refused = [_refusal(uri) for uri in clips]
        if all(refused):
            raise ConfigError(f"clips of {bucket} cannot be read: {refused[0]}")


def _refusal(uri: str) -> StorageError | None:
    """Returns the error if access is refused.

    Other problems of a clip are not reported here: they become rows of the ledger.
    """
    try:
        storage.look_up(uri)
    except StorageError as error:
        return error if error.is_refused else None
    return None
