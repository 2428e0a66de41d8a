"""Checkpoints: storage formats of the weights of a model, from its config and the files in its folder.

- `methods.py`: the table of quantization methods. `compressed_tensors.py`, `torchao.py` and `modelopt.py` read the
  settings of methods with schemes of their own.
- `weights.py`: the weights of a model that methods quantize, and `module_lists.py`: lists of modules to leave out.
- `files.py`: the tensors of safetensors files, by their headers, and their comparison with the config.
"""
