"""GGUF files, the format of llama.cpp: a model's settings and the types of its tensors, from the header alone.

- `reading.py`: the header of one file. `files.py`: a model in one file or in several.
- `architectures.py`: the table of architectures; each gives the config of `transformers` for the settings, and
  `names.py` the parameters that a tensor belongs to.
- `storage.py`: how the file stores each weight of the model. `loading.py` builds the model with its inputs.
"""
