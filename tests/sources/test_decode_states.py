"""Decode steps of models with more state than keys and values, or with other interfaces for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from zoo.transformers_models import config_file

import pyinfercost as ic
from pyinfercost.sources.models import LoadedModel, load_model

pytestmark = pytest.mark.torch

BATCH, CONTEXT = 2, 16


def decode(kind: str, **sizes: int) -> LoadedModel:
    return load_model(f"hf:{config_file(kind)}#decode", {"batch": BATCH, "context": CONTEXT, **sizes})


def cache_of(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return {name: value for name, value in loaded.kwargs.items() if name.startswith("past_key_values")}


def graph_of(loaded: LoadedModel) -> ic.Graph:
    return ic.capture(loaded.module, loaded.inputs)


def test_a_state_in_a_list_is_carried_on() -> None:
    loaded = decode("rwkv", batch=1)  # of several samples its code multiplies every row with every other
    config = loaded.module.config
    shape = (1, config.hidden_size, config.num_hidden_layers)
    assert {name: value.shape for name, value in cache_of(loaded).items()} == {
        f"past_key_values_{place}": shape for place in range(5)
    }
    graph = graph_of(loaded)
    hidden, attention, inner = config.hidden_size, config.attention_hidden_size, config.intermediate_size
    # Per layer key, value, receptance and output; key, receptance and value of the second half; one token each.
    layer = 4 * hidden * attention + 2 * hidden * inner + hidden * hidden
    assert ic.count(graph).total.macs == config.num_hidden_layers * layer + hidden * config.vocab_size
    assert {name for name in (tensor.name for tensor in graph.inputs) if name.startswith("past_key_values")} == set(
        cache_of(loaded)
    )


def test_a_state_in_an_object_of_the_model_is_carried_on() -> None:
    loaded = decode("xlstm")
    config = loaded.module.config
    heads = (BATCH, config.num_heads)
    cache = cache_of(loaded)
    assert cache["past_key_values_rnn_state_1_0"].shape == (*heads, config.qk_head_dim, config.v_head_dim)
    assert cache["past_key_values_rnn_state_1_1"].shape == (*heads, config.qk_head_dim)
    assert cache["past_key_values_seqlen_offset"].shape == (1,)
    # Of a step nothing depends on the context.
    assert ic.count(graph_of(loaded)).total.macs == ic.count(graph_of(decode("xlstm", context=48))).total.macs


def test_a_cache_that_no_result_hands_on_is_made_as_generate_makes_it() -> None:
    loaded = decode("recurrent_gemma")
    heads = (BATCH, loaded.module.config.num_key_value_heads)
    keys = [value.shape[:2] for name, value in cache_of(loaded).items() if name.endswith("_keys")]
    assert keys == [heads]  # of the one layer that attends


def test_a_cache_beyond_the_named_arguments_is_found() -> None:
    loaded = decode("evolla")
    assert loaded.kwargs["input_ids"].shape == (BATCH, 1)
    assert {tuple(value.shape)[2] for name, value in cache_of(loaded).items() if name.endswith("_keys")} == {CONTEXT}


def test_a_model_that_cuts_off_known_tokens_gets_all_of_them() -> None:
    loaded = decode("cpmant")
    assert loaded.kwargs["input_ids"].shape == (BATCH, CONTEXT + 1)
    prompt = loaded.module.config.prompt_length
    assert cache_of(loaded)["past_key_values_0_keys"].shape[2] == CONTEXT + prompt
    longer = decode("cpmant", context=32)
    grown = ic.count(graph_of(longer)).total.macs - ic.count(graph_of(loaded)).total.macs
    config = longer.module.config
    # The new token meets 16 keys and values more.
    assert grown == BATCH * config.num_hidden_layers * 2 * 16 * config.num_attention_heads * config.dim_head


@pytest.mark.sample(1)
def test_a_step_gets_what_its_encoder_gives() -> None:
    # The forward looks for the routers' logits in it, which only the encoder's own kind of result has.
    graph = graph_of(decode("switch_transformers", sequence=16))
    assert not any("encoder.block" in row.module.split("decoder")[0] for row in ic.count(graph).layers)


@pytest.mark.parametrize("kind", ["openai-gpt", "xlnet"])
def test_without_a_cache_a_step_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="neither takes nor returns a cache"):
        decode(kind)


def test_adapters_without_a_default_language_work_in_the_first(tmp_path: Path) -> None:
    config: dict[str, Any] = json.loads(config_file("xmod").read_text())
    config |= {"default_language": None, "languages": ["en_XX", "de_DE"]}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    loaded = load_model(f"hf:{path}", {"batch": BATCH, "sequence": CONTEXT})
    assert loaded.kwargs["lang_ids"].tolist() == [0] * BATCH
    one = load_model(f"hf:{config_file('xmod')}", {"batch": BATCH, "sequence": CONTEXT})
    assert "lang_ids" not in one.kwargs
    assert ic.count(graph_of(loaded)).total.macs == ic.count(graph_of(one)).total.macs


def test_the_cache_is_found_by_its_newest_name_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Older names are properties of the result, each of which logs a warning that people would see."""
    with caplog.at_level("WARNING", logger="transformers"):
        decode("llama")
    assert "deprecated" not in caplog.text
