"""Small models with random weights: products compared with torch's own counter in a real run."""

from __future__ import annotations

import pytest
from support.small_transformers import MODELS, inputs_of
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import pyinfercost as ic

pytestmark = pytest.mark.torch

transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.sample(6)
def test_products_are_those_that_torch_counts(name: str) -> None:
    class_name, options = MODELS[name]
    model_class = getattr(transformers, class_name)
    config = model_class.config_class(**options)
    model = model_class(config).eval()
    inputs = inputs_of(model)
    counts = ic.count(ic.capture(model, inputs))

    # The counter knows neither grouped products nor the fused CPU kernel of attention.
    model.config._experts_implementation = "eager"
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(**inputs)

    assert not counts.unmodelled
    assert counter.get_total_flops() > 0
    assert int(counts.total.contraction_flops) == counter.get_total_flops()
