"""Builds the networks of the FSD-SINet family as trainable Keras models.

`training.graphs.sinet_graph` describes the architecture, `training.network.layers` the
layers. `training.graphs.export` writes a trained network as a graph.
"""

import keras
import tensorflow as tf

from training.graphs.sinet_graph import (
    BATCH_NORM_EPSILON,
    NUM_CLASSES,
    NUM_MELS,
    PATCH_FRAMES,
    Pooling,
    channels,
)
from training.network.layers import (
    AdaptivePolyphase,
    Convolution,
    FusedBatchNorm,
    MaxPool,
    Padding,
    TapsStart,
    TrainableLowPass,
)


def build_network(
    width: float,
    pooling: Pooling,
    num_classes: int = NUM_CLASSES,
    padding: Padding = "same",
    seed: int = 0,
    *,
    patch_frames: int | None = PATCH_FRAMES,
    taps_start: TapsStart = "paper",
    momentum: float = 0.97,
    final_bias: float = -3.0,
) -> keras.Model:
    """Builds an untrained network.

    Args:
        width: Factor for the numbers of channels; 1 is VGG41, 2 is VGG42.
        pooling: Subsampling method (see `training.network.layers`).
        num_classes: Number of outputs of the dense layer. `training.graphs.export` can
            expand them to all classes.
        padding: "same" as in Essentia's graphs; "circular" only to measure shift
            invariance.
        seed: Seed of all initial weights.
        patch_frames: Frames of an input, or None for any number; exported graphs take
            PATCH_FRAMES.
        taps_start: Initial taps of the low-pass filters.
        momentum: Momentum of the moving statistics of batch normalisation.
        final_bias: Initial bias of the dense layer; it is negative because a sound has
            few of the labels.

    Returns:
        Model of float32 [batch, patch_frames, 96, 1] with outputs (logits
        [batch, num_classes], embedding [batch, channels(width)[-1]]). Layers are named
        conv0, block1_conv1, ..., predictions; `<name>_norm` follows a convolution.
    """
    random = keras.random.SeedGenerator(seed)

    def convolution(x: tf.Tensor, size: int, name: str) -> tf.Tensor:
        x = Convolution(size, padding, random, name=name)(x)
        x = FusedBatchNorm(momentum, BATCH_NORM_EPSILON, name=f"{name}_norm")(x)
        return keras.layers.ReLU()(x)

    first, *blocks = channels(width)
    x = keras.Input((patch_frames, NUM_MELS, 1), name="x")
    y = convolution(x, first, "conv0")
    for block, size in enumerate(blocks, 1):
        y = convolution(y, size, f"block{block}_conv1")
        if block < len(blocks):
            y = MaxPool(3, 1, padding)(y)
        y = convolution(y, size, f"block{block}_conv2")
        if block < len(blocks):
            name = f"block{block}_low_pass"
            y = _subsample(y, pooling, padding, taps_start, random, name)
    embedding = keras.ops.max(keras.ops.mean(y, axis=2), axis=1)
    logits = keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.GlorotUniform(random),
        bias_initializer=keras.initializers.Constant(final_bias),
        name="predictions",
    )(embedding)
    model = keras.Model(x, (logits, embedding))
    # Kernels with a mean of zero respond to differences between log-mel values and not
    # to their level.
    kernel = model.get_layer("conv0").kernel
    kernel.assign(kernel - keras.ops.mean(kernel, axis=(0, 1), keepdims=True))
    return model


def _subsample(
    x: tf.Tensor,
    pooling: Pooling,
    padding: Padding,
    taps_start: TapsStart,
    random: keras.random.SeedGenerator,
    name: str,
) -> tf.Tensor:
    """Halves time and frequency."""
    if pooling == "max":
        return MaxPool(2, 2, padding)(x)
    x = MaxPool(2, 1, padding)(x)
    if pooling in ("tlpf", "tlpf_aps"):
        stride = 2 if pooling == "tlpf" else 1
        x = TrainableLowPass(stride, taps_start, padding, random, name=name)(x)
    if pooling in ("aps", "tlpf_aps"):
        x = AdaptivePolyphase(padding)(x)
    return x
