"""Uris are joined, split, matched, and shown without secrets."""

import glob
import pathlib

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.inputs.read_inputs import read_inputs
from tests.support.shards import pending_of
from transforms import storage
from transforms.storage.uris import matches, quoted_url, scheme_of, unsigned

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"))


@pytest.mark.parametrize(
    ("folder", "name", "expected"),
    [
        ("/a/b", "c d.wav", "/a/b/c d.wav"),
        ("/a/b", "../c.wav", "/a/b/../c.wav"),
        ("/a/b", "/c.wav", "/c.wav"),
        ("/a/b", "s3://b/c%20d.wav", "s3://b/c%20d.wav"),
        ("/", "c.wav", "/c.wav"),
        ("/a/b", "file:/c%20d.wav", "file:/c%20d.wav"),
        ("s3://b/in", "FILE:/c.wav", "FILE:/c.wav"),
        ("/a/b", "file:c.wav", "/a/b/file:c.wav"),
        ("/a/b", "file:", "/a/b/file:"),
        ("s3://b/in", "c%20#?.wav", "s3://b/in/c%20#?.wav"),
        ("s3://b/in", "../../../c.wav", "s3://b/c.wav"),
        ("s3://b", "./x/../c.wav", "s3://b/c.wav"),
        ("s3://b/in", "x//y.wav", "s3://b/in/x//y.wav"),
        ("s3://b/in", "/etc/passwd", "/etc/passwd"),
        ("https://h:1/in%20/x", "c d%.wav", "https://h:1/in%20/x/c%20d%25.wav"),
        ("https://h/in%20/x", "../../../c?.wav", "https://h/c%3F.wav"),
        ("https://h/in%20/x", "../c.wav", "https://h/in%20/c.wav"),
    ],
)
def test_relative_names_are_resolved_within_their_bucket(
    folder: str, name: str, expected: str
) -> None:
    assert storage.resolve(folder, name) == expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/a/b?x=1", "/a/b?x=1"),
        ("s3://b/k?x=1", "s3://b/k?x=1"),
        ("s3://key:word@b/k", "s3://...@b/k"),
        ("https://me:p@w@h:8/a?sig=1", "https://...@h:8/a?..."),
        ("HTTP://h/a?x\ny", "HTTP://h/a?..."),
        ("https://h/a@b", "https://h/a@b"),
    ],
)
def test_shown_uris_have_no_secrets(uri: str, expected: str) -> None:
    assert storage.shown(uri) == expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://h/a?id=1&X-Amz-Date=2&x-amz-signature=3", "https://h/a?id=1"),
        ("https://h/a?sv=1&sig=2", "https://h/a"),
        ("https://u:p@h/a?id=1", "https://h/a?id=1"),
        ("https://h/a", "https://h/a"),
        ("s3://b/a?sig=2", "s3://b/a?sig=2"),
    ],
)
def test_unsigned_urls_have_no_signature(uri: str, expected: str) -> None:
    assert unsigned(uri) == expected


def test_run_continues_with_new_signatures_but_not_with_other_files(
    tmp_path: pathlib.Path,
) -> None:
    def manifest(signature: str, number: int = 1) -> pa.Table:
        path = tmp_path / "m.csv"
        path.write_text(f"uri\nhttps://h/a.wav?n={number}&sig={signature}\n")
        return read_inputs([str(path)])

    before = manifest("f1rst")
    ledger = before.append_column("status", pa.array(["ok"]))
    assert not pending_of(manifest("second"), ledger).num_rows
    with pytest.raises(ConfigError, match="clips of the dataset are not in it"):
        pending_of(manifest("second", 2), ledger)
    renamed = manifest("s3cond", 2).set_column(0, "clip_id", ledger["clip_id"])
    with pytest.raises(ConfigError, match="n=1, is .*n=2") as caught:
        pending_of(renamed, ledger)
    assert "f1rst" not in str(caught.value) and "s3cond" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a%20b%23.wav", "/a b#.wav"),
        ("file://localhost/a", "/a"),
        ("FILE:///caf%C3%A9", "/café"),
        ("a%20b", "a%20b"),
        ("file:/a%20b%23.wav", "/a b#.wav"),
        ("File:/a://b", "/a://b"),
        ("file:////a", "//a"),
        ("file:a%20b", "file:a%20b"),
        ("/file:/a%20b", "/file:/a%20b"),
    ],
)
def test_file_uris_are_unescaped(uri: str, path: str) -> None:
    assert storage.local_path(uri) == path and scheme_of(uri) == "file"


def test_files_of_other_machines_are_refused() -> None:
    with pytest.raises(storage.StorageError, match="is a file of host 'nas'"):
        storage.read_file("file://nas/a.wav")


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://h/a b.wav", "https://h/a%20b.wav"),
        ("https://h/a%20b%2Fc", "https://h/a%20b%2Fc"),
        ("https://h/100%.wav#part", "https://h/100%25.wav"),
        ("https://h/é?q=猫", "https://h/%C3%A9?q=%E7%8C%AB"),
    ],
)
def test_urls_are_escaped_where_needed(url: str, sent: str) -> None:
    assert quoted_url(url) == sent


@given(name=NAMES.filter(lambda name: name not in ("", ".", "..")))
@pytest.mark.parametrize("folder", ["/a", "s3://b/c", "https://h/c"])
def test_joined_names_can_be_split_again(folder: str, name: str) -> None:
    uri = storage.join(folder, name)
    assert storage.file_name(uri) == name
    assert storage.folder_of(uri) == folder


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pattern=st.text("ab.*?[]!-^/", min_size=1, max_size=8))
@example("?/**")
@example("ab/**")
@example("**/a/**")
def test_patterns_match_as_in_pythons_glob(
    tmp_path: pathlib.Path, pattern: str
) -> None:
    for name in ("a", "b.a", ".a", "ab/a", "ab/.b", "ab/b/a", "[a]", "b-a", "!^"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    parts = pattern.split("/")
    assume("" not in parts and not {".", ".."} & {*parts})
    # For `a/**`, Python also returns `a/`, even if `a` is a file.
    found = {
        name
        for name in glob.glob(pattern, root_dir=tmp_path, recursive=True)
        if not name.endswith("/")
    }
    everything = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")}
    assert {name for name in everything if matches(pattern, name)} == found - {""}
