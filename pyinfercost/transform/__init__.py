"""Graph transforms, which map a graph to another graph without touching the model.

- `whatif.py`: weights, activations and caches in other formats. `torchao_kernels.py` defines the operators of torchao's
  modules, and `kv_cache.py` changes the keys and values of attention; `formats/` has all others.
- `channels/`: groups of channels that can be removed together, as named sizes.

Every transform reads the nodes and tensors of a `Graph` and changes them through `_core.GraphRewriter`.
"""
