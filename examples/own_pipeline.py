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
    files = sorted(str(p) for p in pathlib.Path(folder).rglob("*") if p.is_file())
    if not files:
        sys.exit(f"no files in folder {folder!r}; give a folder with sounds")
    with beam.Pipeline() as pipeline:
        results = pipeline | "Files" >> beam.Create(files) | EmbedAudio(models=[MODEL])
        lines = results | "ToLine" >> beam.Map(to_line)
        lines | "Write" >> beam.io.WriteToText(output, shard_name_template="")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: own_pipeline.py FOLDER OUTPUT")
    main(*sys.argv[1:])
