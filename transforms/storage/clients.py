"""Connects to buckets, with credentials and endpoints from the environment.

No option takes a key. Credentials are found where the stores' own tools look: for S3
the variables AWS_*, the files in ~/.aws and the role of the instance; for Google the
variable GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login` and the
service account of the machine. Without credentials, requests are sent anonymously:
public buckets can be read, and private buckets refuse at once.
"""

import datetime
import functools
import os
import pathlib
import re
import socket

import pyarrow.fs as pafs

from transforms.storage.store import limits

_S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_S3_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
# Google's Python tools read the first variable, its C++ library the second.
_GS_ENDPOINTS = ("STORAGE_EMULATOR_HOST", "CLOUD_STORAGE_EMULATOR_ENDPOINT")
_GS_CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
_GS_LOGIN = ".config/gcloud/application_default_credentials.json"
# Google's own machines get their service account from a server of this name.
_GS_METADATA_HOST = "metadata.google.internal"
_GS_METADATA_TIMEOUT_S = 2.0

_REFUSED = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|UNAUTHENTICATED|"
    r"PERMISSION_DENIED|EXPIRED_TOKEN|InvalidAccessKeyId|HTTP status code: 40[13]|"
    r"HTTP status 40[13]|TOKEN_REFRESH|access token"
)
_REMEDIES = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role that "
    "may do this, in the environment of launcher and workers (AWS_ENDPOINT_URL for "
    "stores other than Amazon's)",
    "gs": f"set {_GS_CREDENTIALS} to the file of a service account that may do this, "
    "in the environment of launcher and workers, or run 'gcloud auth "
    "application-default login'",
}


@functools.cache
def open_bucket(scheme: str, bucket: str) -> pafs.FileSystem:
    """Opens the filesystem of a bucket, once a process.

    Paths in the filesystem begin with the name of the bucket.

    Raises:
        OSError, ValueError: if the environment names an endpoint that is not usable.
    """
    return _open_s3(bucket) if scheme == "s3" else _open_gs()


def remedy_for(scheme: str, words: str) -> str:
    """Which variables to set, if a store's error text says that access is denied."""
    return f"; {_REMEDIES[scheme]}" if _REFUSED.search(words) else ""


def _open_s3(bucket: str) -> pafs.S3FileSystem:
    endpoint, region = _first(_S3_ENDPOINTS), _first(_S3_REGIONS)
    scheme, separator, host = endpoint.partition("://")
    if endpoint and (scheme not in ("http", "https") or not host or "@" in host):
        raise ValueError(
            f"the endpoint in {' or '.join(_S3_ENDPOINTS)} is not usable: expected "
            "http://HOST:PORT or https://HOST:PORT, without a password"
        )
    default = None if region else "us-east-1" if endpoint else _region_of(bucket)
    return pafs.S3FileSystem(
        region=region or default,
        scheme=scheme or "https",
        endpoint_override=host.rstrip("/") or None,
        connect_timeout=min(10.0, limits().timeout_s),
        request_timeout=limits().timeout_s,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=limits().attempts),
        # With this setting, a small object is sent with one request.
        allow_delayed_open=True,
    )


def _region_of(bucket: str) -> str | None:
    """The region of a bucket, asked from Amazon.

    None makes the library look for the region in the files in ~/.aws.
    """
    try:
        return pafs.resolve_s3_region(bucket)
    except OSError:
        return None


def _open_gs() -> pafs.GcsFileSystem:
    endpoint = _first(_GS_ENDPOINTS)
    scheme, separator, host = endpoint.rpartition("://")
    return pafs.GcsFileSystem(
        anonymous=bool(endpoint) or not _has_google_credentials(),
        scheme=scheme or ("http" if endpoint else "https"),
        endpoint_override=host.rstrip("/") or None,
        retry_time_limit=datetime.timedelta(seconds=limits().timeout_s),
    )


def _has_google_credentials() -> bool:
    """True if Google's credentials can be found.

    Without this check, the library would only give up after many retries.
    """
    if _first((_GS_CREDENTIALS, "GCE_METADATA_HOST")):
        return True
    if (pathlib.Path.home() / _GS_LOGIN).is_file():
        return True
    try:
        socket.create_connection(
            (_GS_METADATA_HOST, 80), _GS_METADATA_TIMEOUT_S
        ).close()
    except OSError:
        return False
    return True


def _first(names: tuple[str, ...]) -> str:
    """Value of the first of these variables that is set; empty if none is."""
    return next((os.environ[name] for name in names if os.environ.get(name)), "")
