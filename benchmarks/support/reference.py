"""The reference: the script of the post that announced the models, for many files.

It runs MonoLoader and TensorflowPredictFSDSINet on one file after the other, in one
process with TensorFlow's own threads, as a user would run them. Tests compare the
pipeline with its numbers, and benchmarks with its speed. It shares no code with the
pipeline.

Usage: python benchmarks/support/reference.py MODEL.pb OUT.npz FILE... [options]
"""

import argparse
import json
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import essentia  # noqa: E402

essentia.log.infoActive = False
essentia.log.warningActive = False
import essentia.standard as es  # noqa: E402
import numpy as np  # noqa: E402

OUTPUTS = {
    "activations": "model/predictions/Sigmoid",
    "embeddings": "model/global_max_pooling1d/Max",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("output")
    parser.add_argument("files", nargs="+")
    parser.add_argument(
        "--last-patch", choices=["repeat", "discard"], default="discard"
    )
    parser.add_argument("--patch-hop", type=int, default=50)
    parser.add_argument("--outputs", default="activations,embeddings")
    arguments = parser.parse_args()
    predictors = {
        kind: es.TensorflowPredictFSDSINet(
            graphFilename=arguments.model,
            output=OUTPUTS[kind],
            patchHopSize=arguments.patch_hop,
            lastPatchMode=arguments.last_patch,
        )
        for kind in arguments.outputs.split(",")
    }
    results = {}
    start = time.perf_counter()
    for index, path in enumerate(arguments.files):
        audio = es.MonoLoader(filename=path, sampleRate=22050)()
        for kind, predict in predictors.items():
            results[f"{kind}_{index}"] = np.array(predict(audio))
    seconds = time.perf_counter() - start
    num_patches = sum(len(value) for value in results.values()) // len(predictors)
    np.savez(arguments.output, allow_pickle=False, **results)
    print(json.dumps({"seconds": seconds, "num_patches": num_patches}))


if __name__ == "__main__":
    main()
