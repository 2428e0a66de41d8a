"""Graph transforms, which map a graph to another graph without touching the model.

- `whatif.py`: weights, activations and caches in other formats. `formats.py` defines the formats, `products.py` finds
  the products with weights, `engine_kernels.py` and `torchao_kernels.py` define the kernels that replace them, and
  `kv_cache.py` changes the keys and values of attention.
- `channels/`: groups of channels that can be removed together, as named sizes.

Every transform reads the nodes and tensors of a `Graph` and changes them through `_core.GraphRewriter`.
"""
