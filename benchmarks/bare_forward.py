"""A user's script for one forward of a model without weights: the baseline of `pyinfercost profile hf:...`.

Usage: python bare_forward.py CONFIG.json prefill|decode TOKENS
TOKENS is the length of the prompt; a decode step runs one token with a cache that holds the prompt.
"""

import inspect
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

path, phase, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3])
config = AutoConfig.from_pretrained(path)
with torch.device("meta"):
    model = AutoModelForCausalLM.from_config(config).eval()
    cache = DynamicCache(config=config)
    if phase == "decode":
        head_width = config.hidden_size // config.num_attention_heads
        for layer in range(config.num_hidden_layers):
            keys, values = torch.empty(2, 1, config.num_key_value_heads, tokens, head_width, dtype=model.dtype)
            cache.update(keys, values, layer)
    ids = torch.zeros(1, 1 if phase == "decode" else tokens, dtype=torch.int64)
# Newer versions of transformers rename the cache argument and warn about the old name.
argument = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
with torch.no_grad():
    logits = model(ids, use_cache=True, logits_to_keep=1, **{argument: cache}).logits
print(tuple(logits.shape))
