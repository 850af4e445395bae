"""The layers of an FSD-SINet as a PyTorch module.

Maps are [batch, channels, time, frequency]. TensorFlow's padding SAME puts the odd row
or column at the end, so the layers with an even window or a stride pad explicitly. The
values that are padded come from a ReLU, so that zeros do not change a maximum.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from transforms.engines.network import Convolution, Network, Subsampling

_FILTER_SIZE = 5


class SinetModule(nn.Module):
    """Computes activations and embeddings of patches.

    Convolutions, filters and maxima are computed in `dtype`. Means, sums over phase
    grids and the dense layer are computed in float32, where rounding would add up.
    """

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        self._convolutions = nn.ModuleList(map(_convolution, network.convolutions))
        self._subsamplings = nn.ModuleList(map(SubsamplingModule, network.subsamplings))
        self.to(dtype=dtype, memory_format=torch.channels_last)
        kernel, bias = network.dense
        # After `to`, which would change their type.
        self.register_buffer("_kernel", _float32(kernel))
        self.register_buffer("_bias", _float32(bias))

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Predicts patches.

        Args:
            patches: float32 [batch, 101, 96].

        Returns:
            Activations float32 [batch, num_classes], embeddings float32 [batch, size].
        """
        maps = patches[:, None].to(self._dtype, memory_format=torch.channels_last)
        convolutions = [*self._convolutions]
        maps = functional.relu(convolutions[0](maps))
        for block, subsampling in enumerate(self._subsamplings):
            maps = functional.relu(convolutions[2 * block + 1](maps))
            maps = functional.max_pool2d(maps, 3, stride=1, padding=1)
            maps = functional.relu(convolutions[2 * block + 2](maps))
            maps = subsampling(maps)
        for convolution in convolutions[7:]:
            maps = functional.relu(convolution(maps))
        embeddings = maps.mean(dim=3, dtype=torch.float32).amax(dim=2)
        logits = torch.addmm(self._bias, embeddings, self._kernel)
        return torch.sigmoid(logits), embeddings


def _convolution(layer: Convolution) -> nn.Conv2d:
    kernel = layer.kernel
    made = nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
    # [3, 3, in, out] to [out, in, 3, 3].
    made.weight = _constant(kernel.transpose(3, 2, 0, 1))
    made.bias = _constant(layer.bias)
    return made


class SubsamplingModule(nn.Module):
    """Halves time and frequency, as `network.Subsampling` says."""

    def __init__(self, layer: Subsampling) -> None:
        super().__init__()
        self._is_adaptive = layer.is_adaptive
        self._is_by_channel = layer.is_by_channel
        self._filter: nn.Conv2d | None = None
        if layer.taps is not None:
            size = layer.taps.shape[2]
            stride = 1 if layer.is_adaptive else 2
            made = nn.Conv2d(
                size, size, _FILTER_SIZE, stride=stride, groups=size, bias=False
            )
            # [5, 5, channels] to [channels, 1, 5, 5].
            made.weight = _constant(layer.taps.transpose(2, 0, 1)[:, None])
            self._filter = made

    def forward(self, maps: Tensor) -> Tensor:
        if self._filter is None and not self._is_adaptive:
            return functional.max_pool2d(maps, 2, stride=2, ceil_mode=True)
        maps = self._smoothed(maps)
        if not self._is_adaptive:
            return maps
        grids = _phase_grids(maps)
        best = self._strongest(grids)[:, None, None, None]
        result = grids[0]
        for phase in range(1, 4):
            result = torch.where(best == phase, grids[phase], result)
        return result.contiguous(memory_format=torch.channels_last)

    def phases(self, maps: Tensor) -> Tensor | None:
        """The phase grid that each patch keeps; None without adaptive sampling."""
        if not self._is_adaptive:
            return None
        return self._strongest(_phase_grids(self._smoothed(maps)))

    def _smoothed(self, maps: Tensor) -> Tensor:
        """The 2x2 maximum, and the low-pass filter if there is one."""
        maps = functional.max_pool2d(functional.pad(maps, (0, 1, 0, 1)), 2, stride=1)
        if self._filter is None:
            return maps
        stride = self._filter.stride[0]
        time, frequency = (_same(size, stride) for size in maps.shape[2:])
        return self._filter(functional.pad(maps, (*frequency, *time)))

    def _strongest(self, grids: list[Tensor]) -> Tensor:
        """Index of the grid with the largest sum; of equal ones, the first."""
        sums = torch.stack([g.sum(dim=(2, 3), dtype=torch.float32) for g in grids])
        strengths = sums.amax(dim=2) if self._is_by_channel else sums.sum(dim=2)
        return strengths.argmax(dim=0)


def _phase_grids(maps: Tensor) -> list[Tensor]:
    """Every second row and column: (t0, f0), (t1, f0), (t0, f1) and (t1, f1)."""
    height, width = maps.shape[2:]
    maps = functional.pad(maps, (0, width % 2, 0, height % 2), mode="reflect")
    return [maps[:, :, t::2, f::2] for f in range(2) for t in range(2)]


def _same(size: int, stride: int) -> tuple[int, int]:
    """TensorFlow's padding SAME of the 5x5 filter: before and after the map."""
    total = (-(-size // stride) - 1) * stride + _FILTER_SIZE - size
    return total // 2, total - total // 2


def _constant(array: np.ndarray) -> nn.Parameter:
    return nn.Parameter(_float32(array), requires_grad=False)


def _float32(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
