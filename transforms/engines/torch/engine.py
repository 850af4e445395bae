"""Runs a model in PyTorch, on a CUDA device if there is one, else on one core.

Patches go to the device in batches of one fixed size, the last one padded with zeros:
libraries choose kernels by the size, and other kernels round otherwise. With one size
the result of a patch depends on nothing but the patch.
"""

import os
import warnings

import numpy as np
import torch

from transforms.elements import FloatArray, Prediction
from transforms.engines.contract import ModelSpec
from transforms.engines.network import read_network_of
from transforms.engines.torch.layers import SinetModule
from transforms.front_end.mel import NUM_MELS
from transforms.front_end.patches import PATCH_FRAMES

DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
}
# Patches of a batch. On a CPU, maps of more patches leave the processor's caches.
_BATCH = {"cuda": 128, "cpu": 8}
_SMALLEST_BATCH = 8
# Batches that are sent to the device before the results of the first are awaited, so
# that the device has work while results and patches are copied.
_BATCHES_IN_FLIGHT = 4


class DeviceError(RuntimeError):
    """The device cannot go on. The message says why and what to do."""


class TorchEngine:
    """Runs a model in PyTorch.

    Attributes:
        run_patches: Number of patches that should be given to `run` at a time.
        uses_device: Whether a CUDA device computes, while the worker does other work.

    Raises:
        UnknownLayerError: if the graph is not an FSD-SINet.
        DeviceError: if the device cannot hold the model.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._device = choose_device()
        self._batch = _BATCH[self._device.type]
        prepare_process(spec.precision)
        network = read_network_of(spec)
        self._sizes = [network.dense[0].shape[1], network.dense[0].shape[0]]
        module = SinetModule(network, DTYPES[spec.precision])
        try:
            self._module = module.to(self._device).eval()
        except (torch.OutOfMemoryError, torch.AcceleratorError) as error:
            raise self._failed(error) from error

    @property
    def run_patches(self) -> int:
        return self._batch * _BATCHES_IN_FLIGHT

    @property
    def uses_device(self) -> bool:
        return self._device.type == "cuda"

    def run(self, patches: FloatArray) -> Prediction:
        if patches.shape[1:] != (PATCH_FRAMES, NUM_MELS):
            raise ValueError(
                f"got patches of shape {patches.shape[1:]}, "
                f"expected {(PATCH_FRAMES, NUM_MELS)}"
            )
        parts = [[np.empty((0, size), np.float32)] for size in self._sizes]
        start = 0
        while start < len(patches):
            part = patches[start : start + self.run_patches]
            try:
                outputs = self._run_part(part)
            except torch.OutOfMemoryError as error:
                self._use_smaller_batch(error)
                continue
            except torch.AcceleratorError as error:
                raise self._failed(error) from error
            for arrays, output in zip(parts, outputs, strict=True):
                arrays.append(output)
            start += len(part)
        return Prediction(*(np.concatenate(arrays) for arrays in parts))

    def _run_part(self, patches: FloatArray) -> list[FloatArray]:
        """Activations and embeddings of patches, in batches of the fixed size."""
        num_patches, is_cuda = len(patches), self._device.type == "cuda"
        num_batches = -(-num_patches // self._batch)
        shape = (num_batches * self._batch, PATCH_FRAMES, NUM_MELS)
        # From pinned memory, patches are copied while the device computes.
        padded = torch.empty(shape, pin_memory=is_cuda)
        padded.numpy()[:num_patches] = patches
        padded[num_patches:] = 0
        with torch.inference_mode():
            outputs = [
                self._module(batch.to(self._device, non_blocking=True))
                for batch in padded.split(self._batch)
            ]
            joined = [torch.cat(output).cpu() for output in zip(*outputs, strict=True)]
        return [output[:num_patches].numpy() for output in joined]

    def _failed(self, error: Exception) -> DeviceError:
        return DeviceError(
            f"device {self._device} failed ({_first_line(error)}); clips that are done "
            "are kept: run the same command again, with fewer --workers if its memory "
            "was full"
        )

    def _use_smaller_batch(self, error: Exception) -> None:
        if self._batch == _SMALLEST_BATCH:
            raise DeviceError(
                f"device {self._device} has too little memory for {self._batch} "
                f"patches ({_first_line(error)}); give fewer --workers, which share it"
            ) from error
        torch.cuda.empty_cache()
        self._batch //= 2
        warnings.warn(
            f"device {self._device} has too little memory: process {os.getpid()} goes "
            f"on with batches of {self._batch} patches, which may round otherwise; "
            "fewer --workers leave more memory",
            stacklevel=2,
        )


def choose_device() -> torch.device:
    """A CUDA device, if there is one; workers are dealt to several by their numbers."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # Workers are forked one after the other, and have consecutive process ids.
    return torch.device("cuda", os.getpid() % torch.cuda.device_count())


def prepare_process(precision: str) -> None:
    """Settings of PyTorch that decide numbers, and the number of threads."""
    is_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = is_tf32
    torch.backends.cudnn.allow_tf32 = is_tf32
    # Otherwise cuDNN would choose kernels by time, and two processes might differ.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # There is a worker for every core.
    torch.set_num_threads(1)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
