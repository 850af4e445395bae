"""Runs the layers of an FSD-SINet one after the other, with numba kernels.

The maps of a batch of patches are stacked, with one row of zeros between them, so that
the batch is one tall map. Blocks with large maps take few patches at a time, to stay in
the processor's caches.
"""

import dataclasses
import threading

import numpy as np

from transforms.elements import FloatArray, Prediction
from transforms.engines.contract import ModelSpec
from transforms.engines.network import (
    Convolution,
    Network,
    Subsampling,
    read_network_of,
)
from transforms.engines.winograd.convolution import convolve
from transforms.engines.winograd.direct import convolve_first
from transforms.engines.winograd.minimal import NUM_POINTS, TILE
from transforms.engines.winograd.pooling import (
    keep_strongest_phase,
    low_pass,
    maximum_2x2,
    maximum_3x3,
)
from transforms.engines.winograd.products import ROWS, pack_filters
from transforms.engines.winograd.simd import FLOAT, LANES, aligned_zeros
from transforms.front_end.mel import NUM_MELS
from transforms.front_end.patches import PATCH_FRAMES

Array = np.ndarray

# For each block: the patches it takes at a time, and the tiles it transforms at a time.
_PATCHES = (1, 1, 4, 16)
_TILES = (12, 12, 12, 96)
# OpenBLAS has another kernel for products of up to this many multiplications. It sums
# in another order. Long recordings are computed in parts of at least 64 patches, which
# must have the numbers of the whole.
_SMALL_PRODUCT, _MANY_PATCHES = 1_000_000, 64
# Zeros around the maps that low-pass filters read.
_BORDER = 2


class WinogradEngine:
    """Runs a model with Winograd's algorithm, in float32, within 1e-5 of the reference.

    Raises:
        UnknownLayerError: if the graph is not an FSD-SINet.
    """

    def __init__(self, spec: ModelSpec) -> None:
        network = read_network_of(spec)
        self._blocks = _make_blocks(network)
        kernel, bias = network.dense
        self._dense = kernel.astype(np.float32), bias.astype(np.float32)
        # All batches use the same buffers, so only one batch may run at a time.
        self._lock = threading.Lock()

    def run(self, patches: FloatArray) -> Prediction:
        if patches.shape[1:] != (PATCH_FRAMES, NUM_MELS):
            raise ValueError(
                f"got patches of shape {patches.shape[1:]}, "
                f"expected {(PATCH_FRAMES, NUM_MELS)}"
            )
        size = _PATCHES[-1]
        with self._lock:
            embeddings = [
                self._embed(patches[start : start + size])
                for start in range(0, len(patches), size)
            ]
        kernel, bias = self._dense
        empty = np.empty((0, len(kernel)), np.float32)
        joined = np.concatenate([empty, *embeddings])
        with np.errstate(over="ignore"):
            activations = 1 / (1 + np.exp(-(_product(joined, kernel) + bias)))
        return Prediction(activations, joined)

    def _embed(self, patches: FloatArray) -> FloatArray:
        last = self._blocks[-1]
        last.run(patches)
        maps = last.output.maps(len(patches))
        embedding: FloatArray = maps.mean(axis=2).max(axis=1)
        return embedding[:, : len(self._dense[0])]


def _product(embeddings: FloatArray, kernel: FloatArray) -> FloatArray:
    """Multiplies; from 64 embeddings on, no row depends on the number of rows."""
    num_rows = len(embeddings)
    if num_rows >= _MANY_PATCHES and num_rows * kernel.size <= _SMALL_PRODUCT:
        padded = np.zeros((_SMALL_PRODUCT // kernel.size + 1, len(kernel)), np.float32)
        padded[:num_rows] = embeddings
        embeddings = padded
    result: FloatArray = (embeddings @ kernel)[:num_rows]
    return result


class _Stack:
    """Stacked maps with zeros around each: float32 [rows, columns, channels].

    Row 0 is zero. Then come the `height` rows of the first map, a zero row, the rows of
    the second map, and so on. The first and the last column are zero.
    """

    def __init__(self, num_maps: int, height: int, width: int, channels: int) -> None:
        self.height, self.width = height, width
        rows = num_maps * (height + 1) + 1 + TILE
        self.array = aligned_zeros(rows, width + 2, channels)
        self.row, self.pixel = self.array.strides[:2]
        self._start = _address_and_stride(self.array)[0] + self.row + self.pixel

    def address(self, index: int = 0) -> int:
        """Address of the first pixel of a map."""
        return self._start + index * (self.height + 1) * self.row

    def maps(self, num_maps: int) -> Array:
        """The maps as a view [num_maps, height, width, channels]."""
        rows = num_maps * (self.height + 1)
        stacked = self.array[1 : rows + 1, 1 : self.width + 1]
        shape = (num_maps, self.height + 1, *stacked.shape[1:])
        return stacked.reshape(shape)[:, : self.height]

    def clear_separators(self, num_maps: int) -> None:
        """Sets the rows between the maps to zero again."""
        self.array[: num_maps * (self.height + 1) + 1 : self.height + 1] = 0

    def clear_after(self, num_maps: int) -> None:
        """Sets the rows after the last map to zero, as far as its last tiles reach.

        Values of an earlier batch would change how the last rows are rounded.
        """
        end = num_maps * (self.height + 1)
        self.array[end : end + TILE + 1] = 0


class _ConvolutionLayer:
    """A 3x3 convolution with bias and ReLU from one stack to another."""

    def __init__(self, layer: Convolution, num_tiles: int) -> None:
        kernel = _with_whole_vectors(layer.kernel, (2, 3))
        self.inputs, self.outputs = kernel.shape[2:]
        self._factors = pack_filters(kernel)
        self._bias = _aligned(_with_whole_vectors(layer.bias, (0,)))
        self._num_tiles = num_tiles
        self._tiles = _points(num_tiles, self.inputs)
        self._sums = _points(num_tiles, self.outputs)
        self._memory = (
            *_address_and_stride(self._tiles),
            self._tiles.strides[1],
            _address_and_stride(self._factors)[0],
            *_address_and_stride(self._sums),
            self._sums.strides[1],
            _address_and_stride(self._bias)[0],
        )

    def run(self, source: _Stack, target: _Stack, num_maps: int) -> None:
        source.clear_after(num_maps)
        rows_of_tiles = -(-num_maps * (source.height + 1) // TILE)
        tiles_in_row = source.width // TILE
        convolve(
            source.address() - source.row - source.pixel,
            source.row,
            source.pixel,
            *self._memory,
            target.address(),
            target.row,
            target.pixel,
            rows_of_tiles * tiles_in_row,
            tiles_in_row,
            self._num_tiles,
        )
        target.clear_separators(num_maps)


def _points(num_tiles: int, channels: int) -> Array:
    """Memory for the points of tiles, as a view float32 [64, tiles, channels].

    With strides that are multiples of 4,096 bytes, the points would compete for the
    same places in the cache. The strides here are odd multiples of 64.
    """
    line = 64 // FLOAT
    tile = _round_up(channels, line) + line
    tile += line * (tile // line % 2 == 0)
    point = _round_up(num_tiles, ROWS) * tile
    point += line * (point // line % 2 == 0)
    memory = aligned_zeros(NUM_POINTS, point)
    shape = NUM_POINTS, _round_up(num_tiles, ROWS), channels
    strides = point * FLOAT, tile * FLOAT, FLOAT
    return np.lib.stride_tricks.as_strided(memory, shape, strides)


class _SubsamplingLayer:
    """Halves the maps of a stack and writes them to another stack."""

    def __init__(self, layer: Subsampling, height: int, width: int, channels: int):
        self._is_adaptive, self._is_by_channel = layer.is_adaptive, layer.is_by_channel
        self._height, self._width = height, width
        shape = height + 2 * _BORDER, width + 2 * _BORDER, channels
        self._padded = aligned_zeros(*shape)
        self._padded_at, self._padded_row = _address_and_stride(self._padded)
        # Adaptive sampling extends an axis of odd length by one.
        self._dense = aligned_zeros(height + 1, width, channels)
        self._dense_at, self._dense_row = _address_and_stride(self._dense)
        self._taps: Array | None = None
        if layer.taps is not None:
            taps = _with_whole_vectors(layer.taps, (2,))
            self._taps = _aligned(taps.reshape(-1, channels))
            self._taps_at = _address_and_stride(self._taps)[0]

    def run(self, source: _Stack, index: int, target: _Stack, slot: int) -> None:
        """Halves map `index` of `source` and writes it to place `slot` of `target`."""
        at, row, pixel = source.address(index), source.row, source.pixel
        to = target.address(slot)
        size = target.height, target.width
        if self._is_adaptive:
            self._fill_dense(at, row, pixel)
            dense, dense_row = self._dense_at, self._dense_row
            keep_strongest_phase(
                dense, dense_row, pixel, to, target.row, *size, self._is_by_channel
            )
        elif self._taps is None:
            maximum_2x2(at, row, pixel, to, target.row, *size, 2)
        else:
            self._fill_padded(at, row, pixel)
            self._low_pass(pixel, to, target.row, size, 2)

    def _fill_dense(self, at: int, row: int, pixel: int) -> None:
        dense, dense_row = self._dense_at, self._dense_row
        size = self._height, self._width
        if self._taps is None:
            maximum_2x2(at, row, pixel, dense, dense_row, *size, 1)
        else:
            self._fill_padded(at, row, pixel)
            self._low_pass(pixel, dense, dense_row, size, 1)
        # The row after the last is its reflection; the width is even.
        self._dense[self._height] = self._dense[self._height - 2]

    def _fill_padded(self, at: int, row: int, pixel: int) -> None:
        inside = self._padded_at + _BORDER * (self._padded_row + pixel)
        size = self._height, self._width
        maximum_2x2(at, row, pixel, inside, self._padded_row, *size, 1)

    def _low_pass(
        self, pixel: int, to: int, to_row: int, size: tuple[int, int], stride: int
    ) -> None:
        # With an odd number of zeros, TensorFlow's SAME puts one more at the end.
        above, left = (
            _BORDER - ((s - 1) * stride + 5 - full) // 2
            for s, full in zip(size, (self._height, self._width), strict=True)
        )
        first = self._padded_at + above * self._padded_row + left * pixel
        low_pass(
            first, self._padded_row, pixel, self._taps_at, to, to_row, *size, stride
        )


class _FirstLayer:
    """The first convolution, which reads the log-mel patches (one channel)."""

    def __init__(self, layer: Convolution, height: int, width: int) -> None:
        kernel = _with_whole_vectors(layer.kernel, (3,))
        self.outputs = kernel.shape[3]
        self._kernel = _aligned(kernel.reshape(-1, self.outputs))
        self._bias = _aligned(_with_whole_vectors(layer.bias, (0,)))
        self._padded = aligned_zeros(height + 2, width + 2)
        self._memory = (
            *_address_and_stride(self._padded),
            _address_and_stride(self._kernel)[0],
            _address_and_stride(self._bias)[0],
        )

    def run(self, patches: FloatArray, target: _Stack) -> None:
        for index, patch in enumerate(patches):
            self._padded[1:-1, 1:-1] = patch
            convolve_first(
                *self._memory,
                target.address(index),
                target.row,
                target.pixel,
                target.height,
                target.width,
            )


@dataclasses.dataclass
class _Block:
    """Two convolutions with a 3x3 maximum between them, and the layers before them.

    Attributes:
        before: The block before, with its subsampling; or the first layer.
        size: Largest number of patches at a time.
        first, second: The two convolutions.
        input: Maps from `before`, read by `first`.
        middle, output: Maps written by `first` and by `second`.
        has_maximum: Whether `middle` is replaced by its 3x3 maximum; not in the last
            block.
    """

    before: "tuple[_Block, _SubsamplingLayer] | _FirstLayer"
    size: int
    first: _ConvolutionLayer
    second: _ConvolutionLayer
    input: _Stack
    middle: _Stack
    output: _Stack
    has_maximum: bool

    def __post_init__(self) -> None:
        self._scratch = aligned_zeros(3, *self.middle.array.shape[1:])
        self._scratch_at = _address_and_stride(self._scratch)[0]

    def run(self, patches: FloatArray) -> None:
        """Computes the maps of at most `size` patches and leaves them in `output`."""
        num_maps = len(patches)
        self._fill_input(patches)
        self.first.run(self.input, self.middle, num_maps)
        if self.has_maximum:
            self._pool(num_maps)
        self.second.run(self.middle, self.output, num_maps)

    def _fill_input(self, patches: FloatArray) -> None:
        if isinstance(self.before, _FirstLayer):
            self.before.run(patches, self.input)
            return
        block, subsampling = self.before
        for start in range(0, len(patches), block.size):
            group = patches[start : start + block.size]
            block.run(group)
            for index in range(len(group)):
                subsampling.run(block.output, index, self.input, start + index)

    def _pool(self, num_maps: int) -> None:
        middle = self.middle
        for index in range(num_maps):
            at, scratch = middle.address(index), self._scratch_at
            size = middle.height, middle.width
            maximum_3x3(at, middle.row, middle.pixel, scratch, *size)


def _make_blocks(network: Network) -> list[_Block]:
    height, width = PATCH_FRAMES, NUM_MELS
    before: tuple[_Block, _SubsamplingLayer] | _FirstLayer
    before = _FirstLayer(network.convolutions[0], height, width)
    blocks: list[_Block] = []
    for number, (size, num_tiles) in enumerate(zip(_PATCHES, _TILES, strict=True)):
        first, second = (
            _ConvolutionLayer(layer, num_tiles)
            for layer in network.convolutions[2 * number + 1 :][:2]
        )
        middle, output = (_Stack(size, height, width, first.outputs) for _ in range(2))
        is_last = number == len(_PATCHES) - 1
        block = _Block(
            before,
            size,
            first,
            second,
            _Stack(size, height, width, first.inputs),
            middle,
            output,
            has_maximum=not is_last,
        )
        blocks.append(block)
        if not is_last:
            layer = network.subsamplings[number]
            subsampling = _SubsamplingLayer(layer, height, width, second.outputs)
            before = block, subsampling
            height, width = -(-height // 2), -(-width // 2)
    return blocks


def _address_and_stride(array: Array) -> tuple[int, int]:
    """Address and first stride of an array.

    Callers keep them, because numpy takes longer to give them than a small kernel runs.
    """
    return array.ctypes.data, array.strides[0]


def _with_whole_vectors(array: Array, axes: tuple[int, ...]) -> Array:
    """Pads some axes with zeros at the end, to a multiple of LANES."""
    missing = [
        (0, _round_up(size, LANES) - size if axis in axes else 0)
        for axis, size in enumerate(array.shape)
    ]
    return np.pad(array, missing) if np.any(missing) else array


def _aligned(array: Array) -> Array:
    """A float32 copy of an array that begins at a cache line."""
    result = aligned_zeros(*array.shape)
    result[:] = array
    return result


def _round_up(number: int, unit: int) -> int:
    """The next multiple of `unit` that is at least `number`."""
    return -(-number // unit) * unit
