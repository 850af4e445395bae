"""The command line: what it prints and what it refuses."""

import argparse
import pathlib
import re
from collections.abc import Iterator

import pytest

from pipeline.cli.main import _parser, main
from pipeline.config import RunConfig
from pipeline.dataset.folder import Dataset
from tests.conftest import ROOT, Command
from tests.support.audio_files import make_wav


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str | pathlib.Path) -> str:
    """Returns the message of a command that is refused before anything starts."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fsdsinet: ")
    return captured.err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--model", "none.pb"], "no model 'none.pb'"),
        (
            ["--set", "shard_clip=3"],
            "unknown key 'shard_clip'; did you mean shard_clips",
        ),
        (["--engine", "gpu"], "engine is 'gpu'"),
        (["--", "--no_such_flag=1"], "Beam has no flag --no_such_flag"),
        (["--", "--direct_runing_mode=x"], "did you mean --direct_running_mode?"),
        (["--", "--direct_num_workers=3"], "give --workers before -- instead"),
        (["--", "--max_cache_memory_usage_mb=x"], "invalid int value: 'x'"),
        (["--", "more.wav"], "'more.wav' after --: expected flags for Beam only"),
        (["--output", "https://host.invalid/out"], "a web server can only be read"),
        ([""], "no such input ''"),
        (["--output", "{theirs}"], "run.json was not written by fsdsinet"),
        (["--output", "{theirs}", "--overwrite"], "was not written by fsdsinet"),
        (["--output", "{file}"], "is a file, expected a folder"),
        (["--output", "{file}/out"], "cannot be written"),
        (["--output", "{full}"], "has files but no run.json"),
        (["--output", "/proc/out"], "cannot be written"),
        (["{tmp}/nothing"], "no such input"),
        (["--retry-failed"], "nothing to retry"),
    ],
)
def test_wrong_commands_are_refused(
    extra: list[str],
    message: str,
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "run.json").write_text('{"name": "something else"}')
    names = ("file", "full", "theirs")
    places = {"tmp": tmp_path, **{name: tmp_path / name for name in names}}
    options = [option.format(**places) for option in extra]
    if "--model" not in options:
        options = ["--model", str(tiny_model), *options]
    if "--output" not in options:
        options = ["--output", str(tmp_path / "out"), *options]
    assert message in refuse(capsys, "extract", corpus, *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("extrakt", "unknown command 'extrakt'; did you mean extract?"),
        ("a.wav --model x", "unknown command 'a.wav'; expected one of: extract, man"),
        ("models ftech x", "unknown command 'ftech'; did you mean fetch?"),
        ("--verson", "unknown option --verson; did you mean --version?"),
        ("--foo extract", "unknown option --foo; options of a command follow its name"),
        ("extract --no-such-option", "unknown option --no-such-option; see 'fsdsinet "),
        ("extract a.wav --modle=x", "unknown option --modle; did you mean --model?"),
        ("extract --patchhop 50", "unknown option --patchhop; did you mean --patch-h"),
        ("extract -model x", "unknown option -model; did you mean --model?"),
        # An abbreviation.
        ("extract --work 2", "unknown option --work; did you mean --workers?"),
        ("extract --workers two", "--workers: got 'two', expected a whole number"),
        ("plot OUT", "the following arguments are required: --clip, --output"),
        # The misspelt option is named before the missing one.
        ("plot OUT --clp x", "unknown option --clp; did you mean --clip?"),
        ("top OUT more", "unexpected argument 'more'; see 'fsdsinet top --help'"),
        ("models list x", "unexpected argument 'x'; see 'fsdsinet models list --help'"),
        (
            "evaluate OUT --ground-truth T --aggregate maen",
            "--aggregate: got 'maen', expected one of: mean, max, logit-mean; did you "
            "mean mean?",
        ),
    ],
)
def test_misspelt_command_lines_are_refused(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    usage, said = printed.err.rsplit("fsdsinet: ", 1)
    assert usage.startswith("usage: fsdsinet")
    assert message in said


def test_values_may_look_like_options() -> None:
    # argparse takes negative numbers and arguments with a space for values.
    parse = _parser().parse_args
    assert (
        parse(["search", "OUT", "--clip", "a", "--where", "-x > 3"]).where == "-x > 3"
    )
    line = ["evaluate", "OUT", "--ground-truth", "T", "--seed", "-1"]
    assert parse(line).seed == -1


def test_inputs_may_stand_between_and_after_options() -> None:
    line = ["extract", "a.wav", "--model", "m", "b.wav", "--overwrite", "c.wav"]
    assert _parser().parse_args(line).inputs == ["a.wav", "b.wav", "c.wav"]


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and the parsers of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from parsers(command)


def test_help_explains_everything_in_one_style() -> None:
    for parser in parsers(_parser()):
        parser.format_help()
        assert parser.description and parser.description.endswith(".")
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                texts = [choice.help for choice in action._choices_actions]
            else:
                texts = [action.help]
            for text in texts:
                assert text and not text.endswith("."), (parser.prog, action)


def test_defaults_in_the_help_of_extract_are_those_of_the_configuration() -> None:
    (extract,) = [p for p in parsers(_parser()) if p.prog == "fsdsinet extract"]
    said = {
        action.dest: found[1]
        for action in extract._actions
        if (found := re.search(r"\(default: (\S+)\)", action.help or ""))
    }
    defaults = RunConfig().as_options()
    assert len(said) == 13
    for key, text in said.items():
        default = defaults[key]
        assert text == (
            ",".join(default) if isinstance(default, tuple) else str(default)
        ), key


def test_dry_run_prints_the_plan_and_starts_nothing(
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    options = ["--model", str(tiny_model), "--output", str(output), "--dry-run"]
    assert main(["extract", str(corpus), *options, "--shard-clips", "5"]) == 0
    printed = capsys.readouterr().out
    assert "clips: 12, to do 12" in printed
    assert "shards: 3 of up to 5 clips" in printed
    assert "12 files, 0 files not found" in printed
    assert not output.exists()


def test_yaml_gives_the_same_as_flags(
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        f"inputs: {corpus}\nmodels: [{tiny_model}]\noutput: {tmp_path}/out\n"
        "outputs: [embeddings]\nlast_patch: discard\n"
    )
    assert main(["extract", "--config", str(path), "--dry-run"]) == 0
    from_yaml = capsys.readouterr().out
    flags = ["--outputs", "embeddings", "--last-patch", "discard", "--dry-run"]
    where = ["--model", str(tiny_model), "--output", f"{tmp_path}/out"]
    assert main(["extract", str(corpus), *where, *flags]) == 0
    assert capsys.readouterr().out == from_yaml
    assert "stored: embeddings" in from_yaml


def test_known_beam_flags_pass(
    tmp_path: pathlib.Path, corpus: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    where = ["--model", str(tiny_model), "--output", f"{tmp_path}/out", "--dry-run"]
    assert main(["extract", str(corpus), *where, "--", "--job_name=mine"]) == 0


def test_the_demo_configuration_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["extract", "--config", "configs/demo.yaml", "--dry-run"]) == 0


def test_the_fsd50k_configuration_runs(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, fsdsinet: Command
) -> None:
    root = tmp_path / "FSD50K"
    for subset, header, row in (
        ("dev", "fname,labels,mids,split", "7,Bark,/m/1,val"),
        ("eval", "fname,labels,mids", "8,Rain,/m/2"),
    ):
        (root / f"FSD50K.{subset}_audio").mkdir(parents=True)
        make_wav(root / f"FSD50K.{subset}_audio" / f"{row[0]}.wav", 30000)
        (root / "FSD50K.ground_truth").mkdir(exist_ok=True)
        path = root / "FSD50K.ground_truth" / f"{subset}.csv"
        path.write_text(f"{header}\n{row}\n")
    config = ROOT / "configs" / "fsd50k.yaml"
    # The tests have no published weights.
    done = fsdsinet("extract", "--config", config, "--model", tiny_model, cwd=tmp_path)
    assert "2 clips ok, 0 failed" in done.stdout
    ledger = Dataset(str(tmp_path / "out" / "fsd50k")).read_ledger()
    rows = {row["clip_id"]: row for row in ledger.to_pylist()}
    assert (rows["7"]["split"], rows["7"]["labels"]) == ("val", "Bark")
    assert (rows["8"]["split"], rows["8"]["labels"]) == ("eval", "Rain")


def test_manifest_of_a_folder_can_be_extracted(
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "m.csv"
    assert main(["manifest", str(corpus), "--output", str(path)]) == 0
    assert "12 clips" in capsys.readouterr().out
    assert path.read_text().splitlines()[0] == '"clip_id","uri","size_bytes","modified"'
    where = ["--model", str(tiny_model), "--output", f"{tmp_path}/out", "--dry-run"]
    assert main(["extract", str(path), *where]) == 0
    printed = capsys.readouterr().out
    assert "clips: 12, to do 12" in printed
    assert "size_bytes (int64), modified (timestamp" in printed


def test_manifest_with_an_unknown_extension_is_refused(
    tmp_path: pathlib.Path, corpus: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refuse(capsys, "manifest", corpus, "--output", tmp_path / "m.xlsx")
    assert "expected an extension among .csv" in message


def test_nothing_but_the_summary_is_printed(
    tmp_path: pathlib.Path,
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    fsdsinet: Command,
) -> None:
    done = fsdsinet(
        "extract", corpus / "clip5.wav", "--model", tiny_model,
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("1 clip ok, 0 failed; ")
    assert lines[-1].startswith("plot a clip: fsdsinet plot ")
    picture = tmp_path / "a.png"
    command = lines[-1].removeprefix("plot a clip: fsdsinet ").split()
    fsdsinet(*command[:-1], picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
