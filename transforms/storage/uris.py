"""Handles paths and uris of files and folders: splits, joins, matches and shows them.

Local files have paths, `file:///PATH` uris or `file:/PATH` uris (as Java and Hadoop
write them). In `s3://` and `gs://` uris, the key follows the bucket as it is, with
nothing escaped, as in the stores' own commands. `http://` and `https://` uris are URLs
as in a browser.
"""

import os
import posixpath
import re
import urllib.parse
from fnmatch import fnmatchcase

import pyarrow as pa
import pyarrow.compute as pc

# Start of a uri that is not a local path, as a regular expression.
URI_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]+://"
_SHORT_FILE_URI = re.compile(r"file:(?=/(?!/))", re.IGNORECASE)
_GLOB_CHARACTERS = re.compile(r"[*?[]")
# Query parameters that sign a URL at Amazon, Google, Microsoft and CloudFront, or say
# how long the signature is valid.
_SIGNING = re.compile(
    r"(x-amz-[^=]*|x-goog-[^=]*|signature|awsaccesskeyid|googleaccessid|expires|policy|"
    r"key-pair-id|sig|sv|sr|st|se|sp|spr|skoid|sktid|skt|ske|sks|skv|token)=",
    re.IGNORECASE,
)
# Characters that `quoted_url` keeps: separators, and the percent sign of escapes.
_SAFE_IN_URL = "!$%&'()*+,/:;=?@[]~"
_LONE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


def scheme_of(uri: str) -> str:
    """The scheme in lower case: `file` for a path, `s3`, `gs`, `http`, `https`, ..."""
    if "://" not in uri:
        # Most uris are paths, and there may be millions: this is faster than a regex.
        return "file"
    found = re.match(URI_SCHEME, uri)
    return found.group()[:-3].lower() if found else "file"


def is_local(uri: str) -> bool:
    return scheme_of(uri) == "file"


def are_urls(uris: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """For each of many uris, whether it is an address on the web."""
    return pc.match_substring_regex(uris, "^https?://", ignore_case=True)


def local_path(uri: str) -> str:
    """The path of a local file, given as a path, `file:///PATH` or `file:/PATH`.

    Raises:
        ValueError: if the uri names a file of another machine.
    """
    if uri.startswith("/"):
        return uri
    if short := _SHORT_FILE_URI.match(uri):
        uri = f"file://{uri[short.end() :]}"
    if not re.match(URI_SCHEME, uri):
        return uri
    host, slash, path = uri.partition("://")[2].partition("/")
    if host not in ("", "localhost"):
        raise ValueError(f"{uri!r} is a file of host {host!r}, expected file:///PATH")
    return urllib.parse.unquote(slash + path, errors="surrogateescape")


def in_utf8(uri: str) -> str:
    """A uri that can be stored as text; a path that is not UTF-8 becomes a file uri.

    Python keeps a byte that is not UTF-8 as a surrogate. The file uri escapes all
    such bytes of the path: `file:///in/caf%E9.wav`.
    """
    try:
        uri.encode("utf-8")
    except UnicodeEncodeError:
        path = urllib.parse.quote(local_path(uri), errors="surrogateescape")
        return f"file://{path}"
    return uri


def absolute(uri: str) -> str:
    """The absolute path or uri, without a slash at the end (a URL stays as it is).

    Raises:
        ValueError: if the uri names a file of another machine.
    """
    scheme = scheme_of(uri)
    if scheme == "file":
        return os.path.abspath(local_path(uri))
    rest = uri.partition("://")[2]
    return f"{scheme}://{rest if scheme in ('http', 'https') else rest.rstrip('/')}"


def join(folder: str, *names: str) -> str:
    """The path or uri of a file or folder below a folder; `names` are not escaped."""
    if scheme_of(folder) not in ("http", "https"):
        return "/".join([folder.rstrip("/"), *names])
    parts = urllib.parse.urlsplit(folder)
    quoted = [urllib.parse.quote(name) for name in names]
    path = "/".join([parts.path.rstrip("/"), *quoted])
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def resolve(folder: str, name: str) -> str:
    """The uri of a row of a manifest; a relative name is below the manifest's folder.

    In a bucket or on a web server, `..` leads up to the bucket or host and no further.
    On a local disk the system resolves `..`, because folders may be links.
    """
    if not name or name[0] == "/" or ("://" in name and re.match(URI_SCHEME, name)):
        return name
    if name[4:6] == ":/" and _SHORT_FILE_URI.match(name):
        return name
    if is_local(folder) or not {".", ".."} & {*name.split("/")}:
        return join(folder, name)
    start, _, path = folder.partition("://")
    host, _, base = path.partition("/")
    inner = "/" if start in ("http", "https") else ""
    base = urllib.parse.unquote(base) if inner else base
    return join(f"{start}://{host}", posixpath.normpath(f"/{base}/{name}").lstrip("/"))


def file_name(uri: str) -> str:
    """The name of a file without its folder; without the query of a URL."""
    scheme = scheme_of(uri)
    if scheme in ("http", "https"):
        uri = urllib.parse.unquote(urllib.parse.urlsplit(uri).path)
    return uri.rpartition("/")[2]


def suffix(uri: str) -> str:
    """The extension of a file, such as `.wav` for `a/b.wav`; empty if it has none."""
    return posixpath.splitext(file_name(uri))[1]


def stem(uri: str) -> str:
    """The name of a file without extension, such as `b` for `a/b.wav`."""
    return posixpath.splitext(file_name(uri))[0]


def with_suffix(uri: str, new_suffix: str) -> str:
    """The path or uri with another extension; a URL keeps its query."""
    if scheme_of(uri) not in ("http", "https"):
        return posixpath.splitext(uri)[0] + new_suffix
    parts = urllib.parse.urlsplit(uri)
    path = posixpath.splitext(parts.path)[0] + new_suffix
    return urllib.parse.urlunsplit(parts._replace(path=path))


def folder_of(uri: str) -> str:
    """The folder that a file is in."""
    if scheme_of(uri) in ("http", "https"):
        parts = urllib.parse.urlsplit(uri)
        path = posixpath.dirname(parts.path)
        return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return posixpath.dirname(uri)


def has_magic(uri: str) -> bool:
    """True if a uri may be a pattern: it contains `*`, `?` or `[`."""
    return bool(_GLOB_CHARACTERS.search(uri))


def shown(uri: str) -> str:
    """A uri for messages and logs: without passwords and without the query of a URL.

    Who knows a signed URL can read the file, and the signature is in the query.
    """
    if not re.match(URI_SCHEME, uri):
        return uri
    text = re.sub(r"^([^:]+://)[^/?#]*@", r"\1...@", uri)
    if scheme_of(uri) in ("http", "https"):
        text = re.sub(r"\?.*", "?...", text, flags=re.DOTALL)
    return text


def unsigned(uri: str) -> str:
    """A URL without password and signature. Signing a URL again does not change it."""
    if scheme_of(uri) not in ("http", "https"):
        return uri
    uri = re.sub(r"^([^:]+://)[^/?#]*@", r"\1", uri)
    start, mark, query = uri.partition("?")
    kept = [x for x in query.split("&") if not _SIGNING.match(x)]
    return start + (mark + "&".join(kept) if kept != [""] and kept else "")


def quoted_url(url: str) -> str:
    """A URL that can be sent: escaped where needed, and without its fragment."""
    url = _LONE_PERCENT.sub("%25", url.partition("#")[0])
    return urllib.parse.quote(url, safe=_SAFE_IN_URL)


def matches(pattern: str, uri: str) -> bool:
    """Whether a uri matches a pattern of Python's glob; `**` is any number of folders.

    A hidden name matches only where the pattern has the dot. `a/**` matches what is
    below `a`, but not `a` itself.
    """
    return _match(pattern.split("/"), uri.split("/"))


def _match(patterns: list[str], names: list[str]) -> bool:
    if not patterns or not names:
        return not patterns and not names
    first, rest = patterns[0], patterns[1:]
    if first == "**" and not rest:
        return not any(name.startswith(".") for name in names)
    if first == "**":
        is_hidden = names[0].startswith(".")
        return _match(rest, names) or (not is_hidden and _match(patterns, names[1:]))
    is_hidden = names[0].startswith(".") and not first.startswith(".")
    fits = first == names[0] or (not is_hidden and fnmatchcase(names[0], first))
    return fits and _match(rest, names[1:])
