"""The job on Prism, which splits bundles and calls steps from several threads."""

import pathlib

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.config import load_config
from pipeline.extract import extract
from pipeline.launch.launch import prepare
from pipeline.launch.plan import write_plan
from tests.conftest import ROOT, Command
from tests.support.datasets import assert_same_dataset

PRISM = ROOT / "build" / "bin" / "prism"

pytestmark = pytest.mark.flink


@pytest.mark.skipif(
    not PRISM.exists(), reason="no build/bin/prism: make prism, with Go"
)
def test_dataset_is_that_of_a_local_run(
    corpus: pathlib.Path,
    tiny_model: pathlib.Path,
    tmp_path: pathlib.Path,
    fsdsinet: Command,
) -> None:
    local, output = tmp_path / "local", tmp_path / "prism"
    fsdsinet("extract", corpus, "--model", tiny_model, "--output", local)
    settings = {"inputs": str(corpus), "models": str(tiny_model)}
    config = load_config(None, [], {**settings, "output": str(output)})
    run = prepare(config)
    output.mkdir()
    write_plan(run.plan, run.dataset.plan_path, {})
    options = PipelineOptions(
        ["--runner=PrismRunner", f"--prism_location={PRISM}", "--no_save_main_session"]
    )
    with beam.Pipeline(options=options) as pipeline:
        extract(pipeline, run.job)
    assert_same_dataset(output, local)
