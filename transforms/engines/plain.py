"""Computes the layers of an FSD-SINet with NumPy in float64: slow, short and exact.

Engines are compared with it where Essentia has no TensorFlow. It shares no code with
them.
"""

import numpy as np

from transforms.elements import FloatArray, Prediction
from transforms.engines.network import Array, Network, Subsampling


def compute(network: Network, patches: FloatArray) -> Prediction:
    """Predicts patches.

    Args:
        network: The layers.
        patches: float32 [num_patches, 101, 96].
    """
    embeddings = np.array([_embed(network, patch) for patch in patches])
    kernel, bias = network.dense
    embeddings = embeddings.reshape(len(patches), len(kernel))
    with np.errstate(over="ignore"):
        activations = 1 / (1 + np.exp(-(embeddings @ kernel + bias)))
    return Prediction(activations.astype(np.float32), embeddings.astype(np.float32))


def _embed(network: Network, patch: FloatArray) -> Array:
    # A map is float64 [time, frequency, channels].
    kernels = [(layer.kernel, layer.bias) for layer in network.convolutions]
    maps = _convolve(patch.astype(np.float64)[..., None], *kernels[0])
    for block, subsampling in enumerate(network.subsamplings):
        maps = _convolve(maps, *kernels[2 * block + 1])
        maps = _windows(maps, 3, 1).max(axis=(3, 4))
        maps = _convolve(maps, *kernels[2 * block + 2])
        maps = _subsample(maps, subsampling)
    for kernel in kernels[7:]:
        maps = _convolve(maps, *kernel)
    return maps.mean(axis=1).max(axis=0)


def _convolve(maps: Array, kernel: Array, bias: Array) -> Array:
    height, width = maps.shape[:2]
    padded = np.pad(maps, ((1, 1), (1, 1), (0, 0)))
    result = np.zeros((height, width, kernel.shape[3])) + bias
    for y, x in np.ndindex(3, 3):
        result += padded[y : y + height, x : x + width] @ kernel[y, x]
    return np.maximum(result, 0)


def _windows(maps: Array, size: int, stride: int) -> Array:
    """Windows [time, frequency, channels, size, size] with TensorFlow's padding SAME.

    Maps have no negative values, so that zeros do not change a maximum.
    """
    pads = [(0, 0)] * 3
    for axis in range(2):
        length = maps.shape[axis]
        total = max(0, (-(-length // stride) - 1) * stride + size - length)
        pads[axis] = total // 2, total - total // 2
    padded = np.pad(maps, pads)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (0, 1))
    return windows[::stride, ::stride]


def _subsample(maps: Array, layer: Subsampling) -> Array:
    stride = 1 if layer.is_adaptive else 2
    is_filtered = layer.taps is not None
    maps = _windows(maps, 2, 1 if is_filtered else stride).max(axis=(3, 4))
    if layer.taps is not None:
        windows = _windows(maps, len(layer.taps), stride)
        maps = np.einsum("tfcyx,yxc->tfc", windows, layer.taps, optimize=True)
    return _strongest_phase(maps, layer.is_by_channel) if layer.is_adaptive else maps


def _strongest_phase(maps: Array, is_by_channel: bool) -> Array:
    """The phase grid with the largest sum; of equal ones, the first."""
    height, width = maps.shape[:2]
    padded = np.pad(maps, ((0, height % 2), (0, width % 2), (0, 0)), mode="reflect")
    grids = [padded[t::2, f::2] for f in range(2) for t in range(2)]
    sums = [grid.sum(axis=(0, 1)) for grid in grids]
    strengths = [each.max() if is_by_channel else each.sum() for each in sums]
    return grids[int(np.argmax(strengths))]
