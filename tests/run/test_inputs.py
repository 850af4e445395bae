"""All INPUTs are read into one manifest, which is checked."""

import json
import os
import pathlib
import string

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.inputs.manifest_files import write_manifest_file
from pipeline.inputs.read_inputs import read_inputs
from transforms import storage


def write(path: pathlib.Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("column", ["uri", "path", "filename", "filepath"])
def test_relative_uris_are_relative_to_the_manifest(
    tmp_path: pathlib.Path, column: str
) -> None:
    source = write(tmp_path / "m.csv", f"{column},take\na b.wav,1\n/abs/c.wav,2\n")
    table = read_inputs([source])
    assert table.column_names == ["clip_id", "uri", "take"]
    assert table["uri"].to_pylist() == [f"{tmp_path}/a b.wav", "/abs/c.wav"]
    assert table["take"].type == pa.int64()


def test_every_format_gives_the_same_table(tmp_path: pathlib.Path) -> None:
    rows = [{"uri": f"{i}.wav", "clip_id": f"00{i}", "level": i / 2} for i in range(3)]
    tsv = ["uri\tclip_id\tlevel"] + ["\t".join(map(str, r.values())) for r in rows]
    sources = [
        write(tmp_path / "m.tsv", "\n".join(tsv)),
        write(tmp_path / "m.csv", "\n".join(tsv).replace("\t", ",")),
        write(tmp_path / "m.jsonl", "\n".join(map(json.dumps, rows))),
        str(tmp_path / "m.parquet"),
    ]
    pq.write_table(pa.Table.from_pylist(rows), sources[-1])
    tables = [read_inputs([source]) for source in sources]
    assert tables[0]["clip_id"].to_pylist() == ["000", "001", "002"]
    assert all(table.equals(tables[0]) for table in tables)


def test_columns_keep_their_types(tmp_path: pathlib.Path) -> None:
    table = pa.table(
        {
            "uri": ["a.wav"],
            "when": pa.array([0], pa.timestamp("us", tz="UTC")),
            "tags": pa.array([["x", "y"]], pa.list_(pa.string())),
            "place": pa.array([{"lat": 1.5}], pa.struct({"lat": pa.float32()})),
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    result = read_inputs([str(tmp_path / "m.parquet")])
    for name in ("when", "tags", "place"):
        assert result[name].equals(table[name])


def test_types_of_columns_are_the_same_in_the_ledger(tmp_path: pathlib.Path) -> None:
    names = "uri,day,at,comment,flag,when\n"
    text = names + "a.wav,2020-01-31,10:00:00,,true,2020-01-01 10:00:00\n"
    table = read_inputs([write(tmp_path / "m.csv", text)])
    pq.write_table(table, tmp_path / "ledger.parquet")
    assert pq.read_table(tmp_path / "ledger.parquet").schema.equals(table.schema)
    assert table["comment"].type == pa.string()


def test_half_precision_becomes_float32_with_the_same_values(
    tmp_path: pathlib.Path,
) -> None:
    values = np.array([0.1, -65504, 6e-8, np.inf], np.float16)
    half = pa.array(values)
    table = pa.table(
        {
            "uri": ["a.wav", "b.wav", "c.wav", "d.wav"],
            "gain": half,
            "gains": pa.ListArray.from_arrays([0, 2, 2, 3, 4], half),
            "pair": pa.FixedSizeListArray.from_arrays(
                pa.array(np.tile(values, 2)), type=pa.list_(pa.float16(), 2)
            ),
            "place": pa.StructArray.from_arrays([half, half], ["x", "y"]),
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    result = read_inputs([str(tmp_path / "m.parquet")])
    assert "halffloat" not in str(result.schema)
    assert result["gain"].type == pa.float32()
    assert result["pair"].type == pa.list_(pa.float32(), 2)
    for name in ("gain", "gains", "pair", "place"):
        assert result[name].to_pylist() == table[name].to_pylist(), name


def test_text_of_other_encodings_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"uri,label\na.wav,caf\xe9\n")
    with pytest.raises(ConfigError, match="column label is not UTF-8"):
        read_inputs([str(tmp_path / "m.csv")])


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("m.csv", "uri,take\r\ncafé 猫.wav,{}\r\n"),
        ("m.tsv", '"uri"\ttake\n"café 猫.wav"\t{}'),
        ("m.jsonl", '{{"uri": "café 猫.wav", "take": {}}}\n'),
    ],
)
def test_the_byte_order_mark_of_a_manifest_gives_its_encoding(
    tmp_path: pathlib.Path, name: str, line: str, encoding: str
) -> None:
    mark = "\ufeff" if encoding.endswith("e") else ""
    path = tmp_path / name
    path.write_bytes(f"{mark}{line.format(7)}".encode(encoding))
    table = read_inputs([str(path)])
    assert table["uri"].to_pylist() == [f"{tmp_path}/café 猫.wav"]
    assert table["take"].to_pylist() == [7]


def test_lines_of_a_manifest_in_utf16_are_named(tmp_path: pathlib.Path) -> None:
    text = "uri,clip_id\né.wav,a\n\nb.wav,\n"
    (tmp_path / "m.csv").write_bytes(text.encode("utf-16"))
    with pytest.raises(ConfigError, match="m.csv, line 4: the clip_id is empty"):
        read_inputs([str(tmp_path / "m.csv")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("uri\na.wav\n".encode("utf-16-le"), "looks like UTF-16 or UTF-32 without"),
        ("uri\na.wav\n".encode("utf-32-be"), "looks like UTF-16 or UTF-32 without"),
        ("uri\na.wav\n".encode("utf-16")[:-1], r"damaged UTF-16 text \(truncated dat"),
    ],
)
def test_damaged_utf16_is_refused(
    tmp_path: pathlib.Path, content: bytes, message: str
) -> None:
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=f"{message}.*; save it as UTF-8"):
        read_inputs([str(tmp_path / "m.csv")])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.csv", b"uri\ncaf\xe9.wav\n"),
        ("m.jsonl", b'{"uri": "caf\xe9.wav"}'),
        ("m.jsonl", b'{"uri": "a.wav", "label": "caf\xe9"}'),
    ],
)
def test_a_manifest_with_other_bytes_than_utf8_is_refused(
    tmp_path: pathlib.Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{name}: .*save it as UTF-8.*caf%E9\.wav"):
        read_inputs([str(tmp_path / name)])


@pytest.mark.parametrize("name", ["list.txt", "LIST.LST"])
def test_a_list_of_paths_must_become_a_manifest(
    tmp_path: pathlib.Path, name: str
) -> None:
    with pytest.raises(ConfigError, match="add `uri` as its first line and rename"):
        read_inputs([write(tmp_path / name, "a.wav\nb.wav\n")])


def test_dictionary_columns_become_text(tmp_path: pathlib.Path) -> None:
    table = pa.table({"uri": ["a"], "kind": pa.array(["x"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "m.parquet")
    assert read_inputs([str(tmp_path / "m.parquet")])["kind"].type == pa.string()


def test_jsonl_reads_names_as_text(
    tmp_path: pathlib.Path,
) -> None:
    text = '{"path": "2020-01-01", "clip_id": 7, "kind": "uri"}\n'
    table = read_inputs([write(tmp_path / "m.jsonl", text)])
    assert table["clip_id"].to_pylist() == ["7"]
    assert table["uri"].to_pylist() == [f"{tmp_path}/2020-01-01"]


def test_types_are_inferred_from_the_whole_file(tmp_path: pathlib.Path) -> None:
    lines = [f"{i}.wav,{i}" for i in range(200_000)] + ["last.wav,unknown"]
    table = read_inputs([write(tmp_path / "m.csv", "uri,year\n" + "\n".join(lines))])
    assert table["year"].type == pa.string()


def test_folders_files_and_globs_can_be_mixed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("deep/a.WAV", "deep/er/b.mp3", "deep/notes.txt", "deep/.hidden.wav"):
        (tmp_path / name).touch()
    write(tmp_path / "weird [1].bin", "x")
    write(tmp_path / "c1.ogg", "x")
    table = read_inputs(
        [
            str(tmp_path / "deep"),
            str(tmp_path / "weird [1].bin"),
            str(tmp_path / "c*.ogg"),
        ]
    )
    names = [os.path.relpath(uri, tmp_path) for uri in table["uri"].to_pylist()]
    assert names == ["deep/a.WAV", "deep/er/b.mp3", "weird [1].bin", "c1.ogg"]
    # The default clip_id depends only on the uri.
    again = read_inputs([str(tmp_path / "deep" / "er")])
    assert again["clip_id"].to_pylist() == table["clip_id"].to_pylist()[1:2]
    assert again["clip_id"][0].as_py().startswith("b-")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "m.csv",
            "file,label\na.wav,x\n",
            "line 1: no column of uris: found file, label",
        ),
        ("m.csv", "uri\n", "has no rows"),
        ("m.csv", "", "cannot read manifest"),
        ("m.csv", "uri,take\na.wav,1\nb.wav\n", "Row #3|row #3"),
        ("m.csv", 'uri,take\na.wav,1\n"",2\n', "m.csv, line 3: the uri is empty"),
        ("m.csv", "uri,uri\na,b\n", "appear twice"),
        ("m.csv", "uri,clip_id\na.wav,1\nb.wav,\n", "line 3: the clip_id is empty"),
        ("m.csv", "uri,clip_id\na.wav,1\n\n,2\n", "line 4: the uri is empty"),
        (
            "m.jsonl",
            '{"uri": "a", "clip_id": "a"}\n{"clip_id": "b"}',
            "line 2: the uri",
        ),
        (
            "m.csv",
            "uri;label\na.wav;x\n",
            "found uri;label.*separate columns by commas",
        ),
        ("m.jsonl", '{"uri": "a.wav"}\n{"uri": \n', "cannot read manifest"),
        ("m.parquet", "no parquet", "cannot read manifest"),
    ],
)
def test_broken_manifests_are_refused(
    tmp_path: pathlib.Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_inputs([write(tmp_path / name, text)])


def test_repeated_clip_ids_are_listed_with_their_lines(tmp_path: pathlib.Path) -> None:
    lines = [f"{i}.wav,{i % 12}" for i in range(24)]
    source = write(tmp_path / "m.csv", "uri,clip_id\n" + "\n".join(lines))
    with pytest.raises(ConfigError) as caught:
        read_inputs([source])
    message = str(caught.value)
    assert "12 clip_ids are not unique" in message
    assert f"'3': {source}, line 5 and {source}, line 17" in message
    assert "'9'" in message and "'10'" not in message


def test_a_file_given_twice_is_refused(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "a.wav", "x")
    with pytest.raises(ConfigError, match="give every clip once"):
        read_inputs([path, str(tmp_path)])


def test_different_spellings_of_a_path_are_the_same_clip(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "a.wav", "x")
    forms = [tmp_path, tmp_path / "sub" / "..", tmp_path / "a.wav", tmp_path / "*.wav"]
    forms.append(tmp_path / "sub" / ".." / "." / "a.wav")
    tables = [read_inputs([str(form)]) for form in forms]
    assert all(table.equals(tables[0]) for table in tables)


@pytest.mark.parametrize("start", ["file:", "file://", "FILE:"])
def test_file_uris_are_inputs_and_rows(tmp_path: pathlib.Path, start: str) -> None:
    path = write(tmp_path / "a b.wav", "x")
    uri = start + path.replace(" ", "%20")
    folder = f"{start}{tmp_path}"
    for source in (uri, folder, f"{folder}/*.wav"):
        assert read_inputs([source])["uri"].to_pylist() == [path]
    manifest = write(tmp_path / "m.csv", f"uri\n{uri}\n")
    for source in (manifest, start + manifest):
        (found,) = read_inputs([source])["uri"].to_pylist()
        assert storage.read_file(found) == b"x"
        states = storage.states_of(pa.chunked_array([[found]]))
        assert states["size_bytes"].to_pylist() == [1]


def test_links_to_folders_are_followed_once(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").mkdir()
    write(tmp_path / "real" / "a.wav", "x")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "dangling.wav").symlink_to(tmp_path / "none.wav")
    table = read_inputs([str(tmp_path / "in")], with_stat=True)
    names = [os.path.relpath(uri, tmp_path) for uri in table["uri"].to_pylist()]
    assert names == ["in/dangling.wav", "in/link/a.wav"]
    assert table["size_bytes"].to_pylist() == [None, 1]


def test_a_glob_reads_manifests_and_folders(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x1").mkdir()
    write(tmp_path / "x1" / "a.wav", "x")
    write(tmp_path / "x2.csv", "uri\nb.wav\n")
    write(tmp_path / "x3.wav", "x")
    table = read_inputs([str(tmp_path / "x*")])
    names = [os.path.relpath(uri, tmp_path) for uri in table["uri"].to_pylist()]
    assert names == ["x1/a.wav", "b.wav", "x3.wav"]


def test_lists_cannot_be_written_to_csv(tmp_path: pathlib.Path) -> None:
    table = pa.table({"clip_id": ["a"], "uri": ["/a"], "tags": [["x"]]})
    with pytest.raises(ConfigError, match="write .parquet, which can"):
        write_manifest_file(table, str(tmp_path / "m.csv"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing.wav", "no such input"),
        ("*.flac", "matches no file"),
        ("", "no audio files in folder"),
    ],
)
def test_inputs_without_clips_are_refused(
    tmp_path: pathlib.Path, source: str, message: str
) -> None:
    write(tmp_path / "notes.txt", "x")
    with pytest.raises(ConfigError, match=message):
        read_inputs([str(tmp_path / source)])


def test_manifests_whose_types_differ_are_refused(tmp_path: pathlib.Path) -> None:
    sources = [
        write(tmp_path / "a.csv", "uri,take\na.wav,1\n"),
        write(tmp_path / "b.csv", "uri,take\nb.wav,first\n"),
    ]
    with pytest.raises(ConfigError, match="do not fit together.*take"):
        read_inputs(sources)


NAMES = st.text(
    st.characters(
        codec="utf-8", exclude_characters="\0/\r\n", exclude_categories=["Cs"]
    ),
    min_size=1,
    max_size=12,
).filter(lambda name: name.strip(string.whitespace + "\ufeff") == name)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAMES, min_size=1, max_size=5, unique=True))
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_written_manifests_read_back_the_same(
    tmp_path: pathlib.Path, suffix: str, names: list[str]
) -> None:
    table = pa.table(
        {"clip_id": names, "uri": [f"{tmp_path}/{name}.wav" for name in names]}
    )
    path = tmp_path / f"m.{suffix}"
    write_manifest_file(table, str(path))
    assert read_inputs([str(path)]).equals(table)


@pytest.fixture
def fsd50k(tmp_path: pathlib.Path) -> pathlib.Path:
    root = tmp_path / "FSD50K"
    for subset in ("dev", "eval"):
        (root / f"FSD50K.{subset}_audio").mkdir(parents=True)
    (root / "FSD50K.ground_truth").mkdir()
    write(
        root / "FSD50K.ground_truth" / "dev.csv",
        'fname,labels,mids,split\n64760,"Electric_guitar,Music","/m/1,/m/2",train\n'
        "00016399,Bark,/m/3,val\n",
    )
    write(
        root / "FSD50K.ground_truth" / "eval.csv",
        "fname,labels,mids\n37199,Rain,/m/4\n",
    )
    return root


def test_fsd50k_root_gives_split_and_labels(fsd50k: pathlib.Path) -> None:
    table = read_inputs([str(fsd50k)])
    assert table["clip_id"].to_pylist() == ["64760", "00016399", "37199"]
    assert table["split"].to_pylist() == ["train", "val", "eval"]
    assert table["labels"].to_pylist()[0] == "Electric_guitar,Music"
    assert table["uri"][2].as_py() == f"{fsd50k}/FSD50K.eval_audio/37199.wav"


def test_fsd50k_with_eval_audio_only(fsd50k: pathlib.Path) -> None:
    (fsd50k / "FSD50K.dev_audio").rmdir()
    assert read_inputs([str(fsd50k)])["split"].to_pylist() == ["eval"]


def test_fsd50k_without_ground_truth_is_refused(fsd50k: pathlib.Path) -> None:
    (fsd50k / "FSD50K.ground_truth" / "eval.csv").unlink()
    with pytest.raises(ConfigError, match="unpack FSD50K.ground_truth.zip"):
        read_inputs([str(fsd50k)])
