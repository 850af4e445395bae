"""Keras layers of the networks, among them the two pooling layers of the paper.

Fonseca, Ferraro and Serra, "Improving sound event classification by increasing shift
invariance in convolutional neural networks" (arXiv 2107.00623), section 3. Tensors are
float32 [batch, time, frequency, channels]. With padding "same" the layers compute what
the published graphs compute. Padding "circular" joins the ends of the time axis and of
the frequency axis, so that shift invariance can be measured without borders.
"""

from collections.abc import Callable
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from training.graphs.sinet_graph import FILTER_SIZE

Padding = Literal["same", "circular"]
TapsStart = Literal["paper", "binomial"]
# The padding argument of TensorFlow's operations; `padded` does the circular padding.
_OP_PADDING = {"same": "SAME", "circular": "VALID"}


class TrainableLowPass(keras.layers.Layer):
    """TLPF: a low-pass filter for every channel, trained with the network.

    A depthwise 5x5 convolution. The taps of a channel are the softmax of its 25
    logits: positive and of sum 1, hence a low-pass filter, which reduces aliasing when
    `stride` subsamples.

    Args:
        stride: Subsampling factor: 2, or 1 if AdaptivePolyphase subsamples.
        start: Initial taps. "paper" draws logits from N(0, 0.01), which is nearly a box
            filter. "binomial" starts from [1, 4, 6, 4, 1] in both directions, because
            short trainings hardly change the taps.
        padding: Padding of the input.
        seed: Seed of the initial taps.
        name: Name of the layer.
    """

    def __init__(
        self,
        stride: int = 2,
        start: TapsStart = "paper",
        padding: Padding = "same",
        seed: int | keras.random.SeedGenerator = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self._stride, self._padding = stride, padding
        self._initialiser = _taps_initialiser(start, seed)

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.logits = self.add_weight(
            name="logits",
            shape=(FILTER_SIZE**2, shape[-1]),
            initializer=self._initialiser,
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        taps = tf.nn.softmax(self.logits, axis=0)
        return tf.nn.depthwise_conv2d(
            padded(x, FILTER_SIZE, self._stride, self._padding),
            tf.reshape(taps, (FILTER_SIZE, FILTER_SIZE, -1, 1)),
            strides=[1, self._stride, self._stride, 1],
            padding=_OP_PADDING[self._padding],
        )


class AdaptivePolyphase(keras.layers.Layer):
    """APS: subsamples by 2, on a grid that moves with a shift of the input.

    Subsampling keeps one of four grids ("polyphase components"), which start at
    (time, frequency) (0, 0), (1, 0), (0, 1) and (1, 1). For every example the layer
    keeps the grid with the largest l1 norm over positions and channels; among equal
    norms it keeps the first. An axis of odd length is first extended at its end by its
    reflection (or circularly).
    """

    def __init__(self, padding: Padding = "same", name: str | None = None) -> None:
        super().__init__(name=name)
        self._padding = padding

    def call(self, x: tf.Tensor) -> tf.Tensor:
        _, time, frequency, channels = x.shape
        # The number of frames is unknown for training, where patches have two lengths.
        odd = (tf.shape(x)[1] if time is None else time) % 2, frequency % 2
        if self._padding == "circular":
            x = _extended(x, (0, odd[0]), (0, odd[1]))
        else:
            x = tf.pad(x, [[0, 0], [0, odd[0]], [0, odd[1]], [0, 0]], "REFLECT")
            if time is None:
                x.set_shape([None, None, frequency + odd[1], channels])
        starts = ((0, 0), (1, 0), (0, 1), (1, 1))
        grids = tf.stack([x[:, t::2, f::2] for t, f in starts], axis=1)
        strongest = tf.argmax(tf.reduce_sum(tf.abs(grids), axis=[2, 3, 4]), axis=1)
        return tf.gather(grids, strongest, axis=1, batch_dims=1)


class FusedBatchNorm(keras.layers.Layer):
    """Batch normalisation by TensorFlow's fused operation, which Keras does not use."""

    def __init__(self, momentum: float, epsilon: float, name: str | None = None):
        super().__init__(name=name)
        self._momentum, self._epsilon = momentum, epsilon

    def build(self, shape: tuple[int | None, ...]) -> None:
        def weight(name: str, start: str, trainable: bool = True) -> keras.Variable:
            return self.add_weight(
                name=name,
                shape=(shape[-1],),
                initializer=start,
                trainable=trainable,
            )

        self.gamma, self.beta = weight("gamma", "ones"), weight("beta", "zeros")
        self.mean = weight("mean", "zeros", trainable=False)
        self.variance = weight("variance", "ones", trainable=False)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x,
            self.gamma,
            self.beta,
            mean=None if training else self.mean,
            variance=None if training else self.variance,
            epsilon=self._epsilon,
            is_training=training,
        )
        if training:
            for moving, batch in ((self.mean, mean), (self.variance, variance)):
                moving.assign(moving + (1 - self._momentum) * (batch - moving))
        return y


class MaxPool(keras.layers.Layer):
    """Maximum over windows of size x size."""

    def __init__(self, size: int, stride: int, padding: Padding = "same") -> None:
        super().__init__()
        self._size, self._stride, self._padding = size, stride, padding

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = padded(x, self._size, self._stride, self._padding)
        return tf.nn.max_pool2d(x, self._size, self._stride, _OP_PADDING[self._padding])


class Convolution(keras.layers.Layer):
    """3x3 convolution with stride 1 and without bias; initial weights are He-normal."""

    def __init__(
        self,
        channels: int,
        padding: Padding,
        seed: int | keras.random.SeedGenerator,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self._channels, self._padding = channels, padding
        self._initialiser = keras.initializers.HeNormal(seed)

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(3, 3, shape[-1], self._channels),
            initializer=self._initialiser,
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = padded(x, 3, 1, self._padding)
        return tf.nn.conv2d(x, self.kernel, 1, _OP_PADDING[self._padding])


def padded(x: tf.Tensor, window: int, stride: int, padding: Padding) -> tf.Tensor:
    """Extends an input circularly for padding "circular"; does nothing for "same".

    The extension is as long as TensorFlow's SAME padding (an odd one is longer at the
    end). So the operation gives the same size and, away from borders, the same values.
    """
    if padding == "same":
        return x
    amounts = []
    for size in x.shape[1:3]:
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        amounts.append((total // 2, total - total // 2))
    return _extended(x, *amounts)


def _extended(
    x: tf.Tensor, time: tuple[int, int], frequency: tuple[int, int]
) -> tf.Tensor:
    """Extends two axes circularly by the numbers (before, after) of positions."""
    for axis, (before, after) in ((1, time), (2, frequency)):
        size = x.shape[axis]
        index = np.arange(-before, size + after) % size
        x = tf.gather(x, index, axis=axis)
    return x


def _taps_initialiser(
    start: TapsStart, seed: int | keras.random.SeedGenerator
) -> Callable[..., tf.Tensor]:
    noise = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    if start == "paper":
        return noise
    row = np.log([1.0, 4.0, 6.0, 4.0, 1.0])
    logits = np.add.outer(row, row).reshape(-1, 1)

    def initialise(shape: tuple[int, int], dtype: str | None = None) -> tf.Tensor:
        return noise(shape, dtype=dtype) + logits.astype("float32")

    return initialise
