"""Writes the ten highest labels of every sound in a folder, as JSON Lines.

A Beam pipeline of one's own: EmbedAudio is one step among others.

    python examples/own_pipeline.py demo/clips labels.jsonl
"""

import json
import pathlib
import sys

import apache_beam as beam

from transforms import EmbedAudio, EmbedResult

MODEL = "fsd-sinet-vgg41-tlpf-demo"


def to_line(result: EmbedResult) -> str:
    """The result of one file as one line."""
    if result.failure:
        return json.dumps({"uri": result.uri, "error": result.failure.message})
    labels = result.predictions[MODEL].top(10)
    return json.dumps({"uri": result.uri, "labels": labels})


def main(folder: str, output: str) -> None:
    files = sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    with beam.Pipeline() as pipeline:
        (
            pipeline
            | "Files" >> beam.Create([str(path) for path in files])
            | EmbedAudio(models=[MODEL])
            | "ToLine" >> beam.Map(to_line)
            | "Write" >> beam.io.WriteToText(output, shard_name_template="")
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
