"""Measures how far the precisions of engine `torch` are from the reference.

Usage: python -m benchmarks.gpu.precision [AUDIO...] [--save]

Runs the demo models, and the eight architectures with random weights, on audio files
(default: the clips of the demo). For every precision: the largest and the mean
difference of an activation, the largest cosine distance of two embeddings, how many
choices of adaptive sampling differ (from those of float32), and in how many clips the
top label is the same.

A CPU has no TF32. There, the operands of convolutions are rounded to its 10 bits
instead; such results are named `tf32, simulated`.
"""

import argparse
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.support.machine import ROOT, save
from training.graphs.random_graphs import write_graph
from training.graphs.sinet_graph import Pooling
from transforms.audio import decode_audio
from transforms.elements import (
    Clip,
    ClipError,
    FloatArray,
    Prediction,
    mean_over_patches,
)
from transforms.engines.contract import PRECISIONS, ModelSpec
from transforms.engines.essentia import EssentiaEngine
from transforms.engines.network import read_network_of
from transforms.engines.torch.engine import DTYPES, choose_device, prepare_process
from transforms.engines.torch.layers import SinetModule, SubsamplingModule
from transforms.features import compute_patches
from transforms.front_end.patches import PatchSpec
from transforms.models.loading import load_model

DEMO_MODELS = ("fsd-sinet-vgg41-tlpf-demo", "fsd-sinet-vgg41-half-tlpf_aps-demo")
POOLINGS: tuple[Pooling, ...] = ("max", "tlpf", "aps", "tlpf_aps")
_BATCH = 16
Choices = list[np.ndarray]


def clips_of(paths: Sequence[str]) -> list[FloatArray]:
    """Patches of every clip that can be decoded."""
    found = []
    for path in sorted(p for name in paths for p in files_of(pathlib.Path(name))):
        try:
            clip = compute_patches(
                decode_audio(Clip(path.stem, str(path))), PatchSpec()
            )
        except ClipError as error:
            print(f"{path}: {error}")
            continue
        assert clip.patches is not None
        found.append(clip.patches)
    return found


def files_of(path: pathlib.Path) -> Iterator[pathlib.Path]:
    return (
        iter([path]) if path.is_file() else (p for p in path.iterdir() if p.is_file())
    )


def rounded_to_tf32(values: torch.Tensor) -> torch.Tensor:
    """float32 values rounded to the 10 bits of TF32."""
    bits = values.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def simulate_tf32(module: SinetModule) -> None:
    """Makes the convolutions of a module round their operands to TF32."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight.copy_(rounded_to_tf32(layer.weight))
            layer.register_forward_pre_hook(
                lambda _, values: (rounded_to_tf32(values[0]),)
            )


def run(
    spec: ModelSpec, precision: str, patches: FloatArray
) -> tuple[Prediction, Choices]:
    """Predicts patches, and returns the choices of adaptive sampling."""
    device, choices = choose_device(), list[np.ndarray]()
    prepare_process(precision)
    module = SinetModule(read_network_of(spec), DTYPES[precision]).to(device).eval()

    def note(layer: SubsamplingModule, values: tuple[torch.Tensor], _: Any) -> None:
        phases = layer.phases(values[0])
        if phases is not None:
            choices.append(phases.cpu().numpy())

    with torch.inference_mode():
        if precision == "tf32" and device.type == "cpu":
            simulate_tf32(module)
        for layer in module.modules():
            if isinstance(layer, SubsamplingModule):
                layer.register_forward_hook(note)
        outputs = [
            module(part.to(device))
            for part in torch.from_numpy(np.ascontiguousarray(patches)).split(_BATCH)
        ]
    values = (torch.cat(each).cpu().numpy() for each in zip(*outputs, strict=True))
    return Prediction(*values), choices


def compare(
    found: Prediction, expected: Prediction, sizes: Sequence[int]
) -> dict[str, Any]:
    """Differences over patches, and agreement of the top labels of clips."""
    difference = np.abs(found.activations - expected.activations)
    dot = (found.embeddings * expected.embeddings).sum(axis=1, dtype=np.float64)
    lengths = [np.linalg.norm(p.embeddings, axis=1) for p in (found, expected)]
    distances = 1 - dot / np.prod(lengths, axis=0)
    ends = np.cumsum(sizes)[:-1]
    tops = [
        [
            int(mean_over_patches(part).argmax())
            for part in np.split(p.activations, ends)
        ]
        for p in (found, expected)
    ]
    same = sum(a == b for a, b in zip(*tops, strict=True))
    return {
        "largest_difference": float(f"{difference.max():.2g}"),
        "mean_difference": float(f"{difference.mean():.2g}"),
        "largest_cosine_distance": float(f"{max(0.0, distances.max()):.2g}"),
        "clips_with_the_same_top_label": f"{same} of {len(sizes)}",
    }


def measure(spec: ModelSpec, clips: list[FloatArray]) -> dict[str, Any]:
    patches = np.concatenate(clips)
    expected = EssentiaEngine(spec).run(patches)
    exact: Choices = []
    results = {}
    for precision in PRECISIONS:
        found, choices = run(spec, precision, patches)
        exact = exact or choices
        result = compare(found, expected, [len(clip) for clip in clips])
        if choices:
            count = sum(
                int((a != b).sum()) for a, b in zip(choices, exact, strict=True)
            )
            result["changed_choices"] = f"{count} of {sum(map(len, choices))}"
        is_simulated = precision == "tf32" and choose_device().type == "cpu"
        name = f"{precision}, simulated" if is_simulated else precision
        results[name] = result
        print(spec.name, name, result, flush=True)
    return results


def models(folder: pathlib.Path) -> Iterator[ModelSpec]:
    """The demo models, and the eight architectures with random weights."""
    yield from map(load_model, DEMO_MODELS)
    for width in (1, 2):
        for pooling in POOLINGS:
            path = folder / f"random-vgg4{width}-{pooling}.pb"
            write_graph(path, width, pooling, seed=5)
            yield load_model(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("audio", nargs="*", default=[str(ROOT / "demo" / "clips")])
    parser.add_argument("--save", action="store_true")
    arguments = parser.parse_args()
    clips = clips_of(arguments.audio)
    with tempfile.TemporaryDirectory() as name:
        results = {s.name: measure(s, clips) for s in models(pathlib.Path(name))}
    if arguments.save:
        is_cuda = choose_device().type == "cuda"
        device = torch.cuda.get_device_name() if is_cuda else "cpu"
        content = {"device": device, "torch": torch.__version__, "models": results}
        save("torch-precision", {"patches": sum(map(len, clips)), **content})


if __name__ == "__main__":
    main()
