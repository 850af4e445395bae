"""The `winograd` engine: runs an FSD-SINet on one core, several times faster.

The pipeline uses `engine`. `convolution` has the kernels of 3x3 convolutions, with the
algorithm of `minimal` and the matrix products of `products`. `direct` and `pooling`
have the kernels of the other layers. `simd` has the vectors that all kernels use.
"""
