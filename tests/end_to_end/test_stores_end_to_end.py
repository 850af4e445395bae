"""Runs with audio, manifest, model and output in buckets, killed and resumed."""

import json
import pathlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.folder import Dataset
from tests.conftest import Command
from tests.support.audio_files import (
    ODD_NAMES,
    make_recordings,
    make_wav,
    signal,
)
from tests.support.datasets import MODEL, ROW_ORDER, whole_table
from tests.support.killed_runs import kill_worker, worker_held
from tests.support.object_stores import (
    CuttingProxy,
    environment,
    make_google_bucket,
    make_s3_bucket,
    running_google,
    running_minio,
    s3_environment,
)
from tests.support.processes import processes_naming, running, wait_for
from training.synthesis.encode import encode
from transforms import storage
from transforms.decoding.reading import open_audio
from transforms.elements import Clip, ClipError
from transforms.storage import RangedFile

TABLES = ("ledger", f"patches/model={MODEL}", f"clips/model={MODEL}")
NUM_CLIPS = 24
# name in the manifest -> error_type in the ledger
ODD_ROWS = {
    "file:///etc/passwd": "not_audio",
    "../../../none.wav": "not_found",
    "none.wav": "not_found",
    "ftp://host.invalid/a.wav": "unsupported_uri",
}


@pytest.fixture(scope="module")
def corpus_folder(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: pathlib.Path
) -> pathlib.Path:
    """A folder with clips, a model, and a manifest of the clips and of ODD_ROWS."""
    folder = tmp_path_factory.mktemp("stores") / "in"
    folder.mkdir()
    names = [*ODD_NAMES, *(f"{i}.wav" for i in range(NUM_CLIPS - len(ODD_NAMES)))]
    for index, name in enumerate(names):
        make_wav(folder / name, 22050 * 4 + 999 * index, seed=index)
    uris = [*names, *ODD_ROWS]
    ids = [f"clip {index}" for index in range(len(uris))]
    pq.write_table(pa.table({"uri": uris, "clip_id": ids}), folder / "m.parquet")
    for path in (tiny_model, tiny_model.with_suffix(".json")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
    corpus_folder: pathlib.Path,
    fsdsinet: Command,
) -> str:
    output = str(tmp_path_factory.mktemp("undisturbed") / "out")
    fsdsinet(*extract(str(corpus_folder), output))
    return output


@pytest.fixture(scope="module")
def minio(
    tmp_path_factory: pytest.TempPathFactory, corpus_folder: pathlib.Path
) -> Iterator[str]:
    with running_minio(tmp_path_factory.mktemp("minio")) as url:
        with environment(**s3_environment(url)):
            make_s3_bucket("bucket")
            copy_folder(corpus_folder, "s3://bucket/in")
            yield url


def copy_folder(folder: pathlib.Path, to: str) -> None:
    for path in folder.iterdir():
        with storage.publish(storage.join(to, path.name)) as file:
            file.write(path.read_bytes())


def extract(corpus: str, output: str) -> list[str | pathlib.Path]:
    return [
        "extract", f"{corpus}/m.parquet", "--model", f"{corpus}/{MODEL}.pb",
        "--output", output, "--workers", "2", "--shard-clips", "2",
    ]  # fmt: skip


def read(output: str, table: str) -> pa.Table:
    """A table in ROW_ORDER, without columns that differ between stores."""
    rows = whole_table(output, table)
    rows = rows.sort_by([key for key in ROW_ORDER if key[0] in rows.schema.names])
    other = ("uri", "error", "file_modified")
    kept = [name for name in rows.column_names if name not in other]
    return rows.select(kept).combine_chunks()


def assert_same(one: str, other: str) -> None:
    for table in TABLES:
        assert read(one, table).equals(read(other, table)), table


def assert_tidy(output: str) -> None:
    """A dataset has no lock and no plan, and every part is of a committed shard."""
    committed = {storage.file_name(uri) for uri in Dataset(output).parts("ledger")}
    files = storage.list_files(output, recursive=True, hidden=True)
    names = [storage.file_name(info.uri) for info in files]
    assert {*names} - committed == {"run.json"}
    assert len(names) == 3 * len(committed) + 1


def assert_same_results(
    remote: str,
    local: str,
    corpus_folder: pathlib.Path,
    folder: pathlib.Path,
    fsdsinet: Command,
) -> None:
    """Commands print and write the same for a dataset in a bucket and on a disk."""
    truth = folder / "truth.csv"
    truth.write_text("clip_id,labels\nclip 0,Bark\nclip 1,\nclip 2,Bark\nclip 30,\n")
    search = ("--clip", "clip 3", "--where", "duration_s < 4.5", "--output")
    evaluate = ("--ground-truth", truth, "--all-classes", "--output")
    printed = []
    for output, place, to in (
        (remote, "s3://bucket/in", "s3://bucket/to"),
        (local, str(corpus_folder), str(folder / "to")),
    ):
        found = fsdsinet("search", output, *search, f"{to}/found.csv").stdout
        scores = fsdsinet("evaluate", output, *evaluate, f"{to}/scores").stdout
        assert storage.read_file(f"{to}/scores/classes.png")[:4] == b"\x89PNG"
        table = pa.csv.read_csv(storage.open_arrow(f"{to}/found.csv"))
        assert table.num_rows > 5 and "mAP" in scores
        fsdsinet("report", output, "--output", folder / "report.html")
        lines = (found + scores).replace(place, "IN").replace(to, "TO").splitlines()
        printed.append([line.split() for line in lines])
    assert printed[0] == printed[1]


def num_committed(output: str) -> int:
    return len(Dataset(output).parts("ledger"))


def kill_worker_and_launcher(
    arguments: list[str | pathlib.Path], output: str, tmp: pathlib.Path
) -> None:
    """Runs a job, kills a worker and later the launcher, before the job has ended."""
    with running(arguments, tmp) as process:
        wait_for(lambda: num_committed(output) >= 2)
        killed = kill_worker(tmp, clip_id=None)
        # The shard of a suspended worker stays uncommitted.
        with worker_held(tmp, clip_id=None, killed=[killed]):
            wait_for(lambda: num_committed(output) >= 5)
            assert process.poll() is None
            process.kill()
    wait_for(lambda: not processes_naming(str(tmp)))


@pytest.mark.minio
def test_a_bucket_gives_the_same_dataset_though_killed(
    minio: str,
    undisturbed: str,
    corpus_folder: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    output = "s3://bucket/killed"
    arguments = extract("s3://bucket/in", output)
    kill_worker_and_launcher(arguments, output, tmp_path / "tmp")
    assert 5 <= num_committed(output) < num_committed(undisturbed)
    done = fsdsinet(*arguments)
    assert f"{NUM_CLIPS} clips ok, {len(ODD_ROWS)} failed" in done.stdout
    assert_same(output, undisturbed)
    assert_tidy(output)
    ledger = Dataset(output).read_ledger(["clip_id", "uri", "error_type"]).to_pylist()
    found = {row["uri"]: row["error_type"] for row in ledger if row["error_type"]}
    assert found == {
        "file:///etc/passwd": "not_audio",
        "s3://bucket/none.wav": "not_found",
        "s3://bucket/in/none.wav": "not_found",
        "ftp://host.invalid/a.wav": "unsupported_uri",
    }
    # The commands that read datasets read this one, and write to buckets.
    assert "clip 3 " in fsdsinet("top", output).stdout
    picture = "s3://bucket/pictures/a b.png"
    fsdsinet("plot", output, "--clip", "clip 3", "--output", picture)
    assert storage.read_file(picture)[:4] == b"\x89PNG"
    assert_same_results(output, undisturbed, corpus_folder, tmp_path, fsdsinet)
    # A finished run reports that, can be retried and can be replaced.
    assert "nothing to do" in fsdsinet(*arguments).stdout
    fsdsinet(*arguments, "--retry-failed")
    assert_same(output, undisturbed)
    assert_tidy(output)
    fsdsinet(*arguments, "--overwrite", "--outputs", "embeddings")
    assert "activations" not in read(output, TABLES[1]).column_names
    assert_tidy(output)


@pytest.mark.minio
@pytest.mark.parametrize("source", ["", "/m.csv"])
def test_objects_that_changed_are_named_and_their_rows_replaced(
    minio: str,
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
    source: str,
) -> None:
    folder = f"s3://bucket/{tmp_path.name}"
    for index, name in enumerate("abc"):
        make_wav(tmp_path / f"{name}.wav", 22050 + 999 * index, seed=index)
    (tmp_path / "m.csv").write_text("uri\na.wav\nb.wav\nc.wav\n")
    copy_folder(tmp_path, folder)
    whole, output = f"{folder}-whole", f"{folder}-out"
    command = [
        "extract", folder + source, "--model", tiny_model, "--shard-clips", "2",
        "--output",
    ]  # fmt: skip
    fsdsinet(*command, output)
    assert "changed since" not in fsdsinet(*command, output).stderr
    make_wav(tmp_path / "b.wav", 44100, seed=7)
    with storage.publish(f"{folder}/b.wav") as file:
        file.write((tmp_path / "b.wav").read_bytes())
    again = fsdsinet(*command, output)
    assert "1 file changed since its row was computed: b.wav; run with" in again.stderr
    done = fsdsinet(*command, output, "--retry-changed")
    assert "1 unchanged clip of the same shards computed again" in done.stderr
    assert "changed since" not in fsdsinet(*command, output).stderr
    fsdsinet(*command, whole)
    assert_same(output, whole)
    assert_tidy(output)


@pytest.mark.minio
def test_a_run_whose_store_goes_away_resumes(
    corpus_folder: pathlib.Path, minio: str, undisturbed: str, fsdsinet: Command
) -> None:
    """After some bytes no connection to the store works any more."""
    output = "s3://bucket/cut"
    arguments = extract(str(corpus_folder), output)
    proxy = CuttingProxy(minio)
    proxy.cut_after = 100_000
    try:
        with environment(AWS_ENDPOINT_URL=proxy.url, FSDSINET_ATTEMPTS="2"):
            failed = fsdsinet(*arguments, code=1)
    finally:
        proxy.close()
    assert "to continue, run the same command again" in failed.stderr
    assert "cannot be written" in failed.stderr
    # Committed shards are complete.
    whole = {*read(undisturbed, "ledger")["clip_id"].to_pylist()}
    if num_committed(output):
        done = read(output, "ledger")["clip_id"].to_pylist()
        assert {*done} < whole and len(done) == len({*done})
    fsdsinet(*arguments)
    assert_same(output, undisturbed)
    assert_tidy(output)


@pytest.mark.minio
def test_a_large_file_is_read_in_parts_and_fails_if_the_store_goes_away(
    minio: str, tmp_path: pathlib.Path, tiny_model: pathlib.Path, fsdsinet: Command
) -> None:
    rate_hz = 96_000
    samples = signal(45 * rate_hz, rate_hz, num_channels=2)
    local = tmp_path / "in"
    local.mkdir()
    encode(local / "a.wav", samples, rate_hz, "pcm_f32le")
    (local / "m.csv").write_text("uri,clip_id\na.wav,a\n")
    remote = f"s3://bucket/{tmp_path.name}"
    copy_folder(local, remote)
    with storage.open_file(f"{remote}/a.wav") as file:
        assert isinstance(file, RangedFile)
    outputs = {place: str(tmp_path / place) for place in ("disk", "bucket", "cut")}
    options = ["--model", tiny_model, "--output"]
    fsdsinet("extract", local / "m.csv", *options, outputs["disk"])
    fsdsinet("extract", f"{remote}/m.csv", *options, outputs["bucket"])
    assert_same(outputs["bucket"], outputs["disk"])
    proxy = CuttingProxy(minio)
    # The file has 35 MB.
    proxy.cut_answers_after = 20_000_000
    try:
        with environment(AWS_ENDPOINT_URL=proxy.url, FSDSINET_ATTEMPTS="1"):
            fsdsinet("extract", f"{remote}/m.csv", *options, outputs["cut"])
    finally:
        proxy.close()
    (row,) = Dataset(outputs["cut"]).read_ledger().to_pylist()
    assert (row["stage"], row["error_type"]) == ("read", "unreadable")
    assert row["error"].startswith(f"cannot read '{remote}/a.wav': ")
    fsdsinet("extract", f"{remote}/m.csv", *options, outputs["cut"], "--retry-failed")
    assert_same(outputs["cut"], outputs["disk"])


@pytest.mark.minio
def test_folders_patterns_and_manifests_in_a_bucket(
    minio: str, tmp_path: pathlib.Path, fsdsinet: Command
) -> None:
    manifest = "s3://bucket/manifests/m.csv"
    done = fsdsinet("manifest", "s3://bucket/in", "--output", manifest)
    assert f"{NUM_CLIPS} clips" in done.stdout
    lines = storage.read_file(manifest).decode().splitlines()
    assert lines[0] == '"clip_id","uri","size_bytes","modified"'
    for inputs in (["s3://bucket/in/"], [manifest], ["s3://bucket/in/*.wav"]):
        model = "s3://bucket/in/" + MODEL + ".pb"
        planned = fsdsinet(
            "extract", *inputs, "--model", model, "--output", tmp_path, "--dry-run"
        )
        assert f"in {NUM_CLIPS} files, 0 files not found" in planned.stdout


@pytest.mark.minio
def test_without_credentials_a_run_fails_at_once_and_names_the_variables(
    minio: str, corpus_folder: pathlib.Path, tmp_path: pathlib.Path, fsdsinet: Command
) -> None:
    with environment(
        AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, HOME=str(tmp_path)
    ):
        local = str(corpus_folder)
        for arguments in (
            extract("s3://bucket/in", str(tmp_path / "out")),
            extract(local, "s3://bucket/out"),
        ):
            refused = fsdsinet(*arguments, code=2)
            assert "set AWS_ACCESS_KEY_ID" in refused.stderr
        # A local manifest of remote audio.
        manifest = tmp_path / "m.csv"
        manifest.write_text("uri,clip_id\ns3://bucket/in/0.wav,a\n/none.wav,b\n")
        model = corpus_folder / f"{MODEL}.pb"
        refused = fsdsinet(
            "extract", manifest, "--model", model, "--output", tmp_path / "out", code=2
        )
        assert "clips of s3://bucket cannot be read" in refused.stderr
        assert "set AWS_ACCESS_KEY_ID" in refused.stderr
        assert not (tmp_path / "out").exists()
        # A worker without access reports it as the error of the clip.
        with pytest.raises(ClipError, match="set AWS_ACCESS_KEY_ID") as caught:
            open_audio(Clip("a", "s3://bucket/in/0.wav"))
        assert caught.value.error_type == "unreadable"


@pytest.mark.minio
def test_two_runs_into_one_bucket_folder_are_refused(
    minio: str, fsdsinet: Command
) -> None:
    output = "s3://bucket/shared"
    with Dataset(output).locked():
        refused = fsdsinet(*extract("s3://bucket/in", output), code=2)
    assert "another run is writing to s3://bucket/shared" in refused.stderr


@pytest.mark.slow
def test_google_buckets_give_the_same_dataset(
    corpus_folder: pathlib.Path, undisturbed: str, fsdsinet: Command
) -> None:
    with running_google() as url, environment(STORAGE_EMULATOR_HOST=url):
        make_google_bucket(url, "bucket")
        copy_folder(corpus_folder, "gs://bucket/in")
        output = "gs://bucket/out"
        arguments = extract("gs://bucket/in", output)
        fsdsinet(*arguments)
        assert_same(output, undisturbed)
        assert_tidy(output)
        # The state of a run that was killed before its last shard.
        storage.delete_file(Dataset(output).parts("ledger")[0])
        run = json.loads(storage.read_file(f"{output}/run.json"))
        with storage.publish(f"{output}/run.json") as file:
            file.write(json.dumps(run | {"state": "running"}).encode())
        fsdsinet(*arguments)
        assert_same(output, undisturbed)
        assert_tidy(output)


@pytest.mark.minio
@pytest.mark.timeout(300)
def test_recordings_in_a_bucket_are_computed_in_segments_and_continued(
    minio: str, tmp_path: pathlib.Path, tiny_model: pathlib.Path, fsdsinet: Command
) -> None:
    local = tmp_path / "in"
    local.mkdir()
    make_recordings(local, seconds=20)
    names = sorted(path.name for path in local.iterdir())
    rows = "".join(f"{name},{name}\n" for name in names)
    (local / "m.csv").write_text(f"uri,clip_id\n{rows}")
    remote = f"s3://bucket/{tmp_path.name}"
    copy_folder(local, f"{remote}/in")
    options: list[str | pathlib.Path] = ["--model", tiny_model]
    options += ["--patch-hop", "5", "--workers", "2"]
    expected, output = str(tmp_path / "whole"), f"{remote}/out"
    fsdsinet("extract", local / "m.csv", *options, "--output", expected)
    arguments: list[str | pathlib.Path] = ["extract", f"{remote}/in/m.csv", *options]
    arguments += ["--long-clip", "6", "--output", output]

    def segments() -> list[str]:
        files = storage.list_files(f"{output}/unfinished", recursive=True)
        return [info.uri for info in files if "segment-" in info.uri]

    with running(arguments, tmp_path / "tmp") as process:
        wait_for(segments)
        process.kill()
        process.communicate()
    fsdsinet(*arguments)
    assert_same(output, expected)
    assert not storage.list_files(f"{output}/unfinished", recursive=True)
