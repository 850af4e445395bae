"""The `winograd` engine: runs an FSD-SINet on one core, several times as fast.

`engine` is what the pipeline uses. `convolution` tells the algorithm, `products`,
`direct` and `pooling` are the other kernels, `simd` is what all of them are written in.
"""
