"""Asks once for every bucket whether it lets us in, before a run is started."""

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from transforms import storage
from transforms.storage import StorageError

# A store may also refuse a clip because it is not there: so more than one.
_NUM_ASKED = 3
_MAX_BUCKETS = 20


def check_reach(uris: pa.ChunkedArray) -> None:
    """Looks at the first clips of every bucket.

    Without credentials every clip would fail, one by one.

    Args:
        uris: string, of all clips of the run, done or not.

    Raises:
        ConfigError: if a bucket refuses all that are looked at.
    """
    remote = uris.filter(pc.match_substring_regex(uris, r"^(?i:s3|gs)://[^/]+/"))
    found = pc.extract_regex(remote, r"^(?P<bucket>[^/]+//[^/]+)/")
    buckets = pc.unique(pc.struct_field(found, "bucket")).to_pylist()
    for bucket in buckets[:_MAX_BUCKETS]:
        clips = remote.filter(pc.starts_with(remote, f"{bucket}/"))
        refused = [_refused(uri) for uri in clips[:_NUM_ASKED].to_pylist()]
        if all(refused):
            raise ConfigError(f"clips of {bucket} cannot be read: {refused[0]}")


def _refused(uri: str) -> StorageError | None:
    """Why a clip is refused; what else is wrong with it is for the ledger."""
    try:
        storage.look_up(uri)
    except StorageError as error:
        return error if error.is_refused else None
    return None
