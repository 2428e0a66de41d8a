"""The image layout that a forward accepts is found on shapes; parts get the processor's outputs for them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("transformers")

from zoo.transformers_models import config_file

from pyinfercost.sources.huggingface import image_layouts as forms
from pyinfercost.sources.huggingface.request import Inputs, Request
from pyinfercost.sources.models import load_model
from pyinfercost.sources.symbols import CaptureError

pytestmark = pytest.mark.torch

BATCH, FRAMES, SIDE, PATCH = 2, 4, 16, 8


class Sees(nn.Module):
    """A forward that takes `pixel_values` of one shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return pixel_values.view(self.shape) * 1


@pytest.mark.parametrize(
    ("shape", "config"),
    [
        ((BATCH, 3, SIDE, SIDE), {}),
        ((BATCH, 1, 3, SIDE, SIDE), {}),
        ((BATCH, FRAMES, 3, SIDE, SIDE), {"num_frames": FRAMES}),
        ((BATCH, 4, 3 * PATCH**2), {"patch_size": PATCH}),
    ],
)
def test_the_form_that_runs_is_found(shape: tuple[int, ...], config: dict[str, int]) -> None:
    inputs = Inputs()
    inputs.add("pixel_values", torch.empty((BATCH, 3, SIDE, SIDE), device="meta"), batch=0)

    class Exact(Sees):
        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            if tuple(pixel_values.shape) != self.shape:
                raise ValueError("not enough values to unpack")
            return pixel_values * 1

    forward = Exact(*shape)
    settings = SimpleNamespace(sub_configs={}, **config)
    request = Request("config.json", forward, settings, "", {"batch": BATCH})
    forms.settle(request, inputs, forward, inputs.kwargs)
    assert inputs.kwargs["pixel_values"].shape == shape
    assert ("pixel_values" in inputs.dynamic) == (shape == (BATCH, 3, SIDE, SIDE))


def test_a_list_of_pictures_is_taken_apart_for_a_part_that_sees_one() -> None:
    inputs = Inputs({"pixel_values": torch.ones((BATCH, 5, 3, SIDE, SIDE))})

    class SeesOne(nn.Module):
        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            count, channels, height, width = pixel_values.shape
            return pixel_values.view(count * channels, height * width) * 1

    request = Request("config.json", SeesOne(), SimpleNamespace(sub_configs={}), "", {"batch": BATCH})
    forms.settle(request, inputs, request.model, inputs.kwargs)
    assert inputs.kwargs["pixel_values"].shape == (BATCH * 5, 3, SIDE, SIDE)


def test_what_no_form_gets_through_says_what_is_wrong_with_the_first() -> None:
    given: dict[str, Any] = {"pixel_values": torch.ones((BATCH, 3, SIDE, SIDE))}
    request = Request("config.json", Sees(7), SimpleNamespace(sub_configs={}), "", {"batch": BATCH})
    with pytest.raises(CaptureError, match=r"invalid for input of size 1536"):
        forms.settle(request, Inputs(given), request.model, given)


@pytest.mark.parametrize(
    ("kind", "argument", "shape"),
    [
        ("xclip_vision_model", "pixel_values", (2 * FRAMES, 3, 224, 224)),
        ("minicpm_ocr_vision", "target_sizes", (2, 2)),
        ("video_llama_3_vision", "merge_sizes", (2,)),
    ],
)
def test_a_part_of_a_model_gets_what_the_whole_would_hand_it(kind: str, argument: str, shape: tuple[int, ...]) -> None:
    sizes = {"batch": 2, "frames": FRAMES} if kind.startswith("xclip") else {"batch": 2}
    loaded = load_model(f"hf:{config_file(kind)}", sizes)
    assert loaded.kwargs[argument].shape == shape


def test_a_processor_hands_over_what_the_features_alone_take() -> None:
    """The method that the whole model hands on to a part of it takes the size of what is merged."""
    loaded = load_model(f"hf:{config_file('video_llama_3')}", {"sequence": 8})
    ids, grid = loaded.kwargs["input_ids"], loaded.kwargs["image_grid_thw"]
    merged = int(loaded.kwargs["image_merge_sizes"][0]) ** 2
    assert ids.shape[1] == 8 + int(grid.prod()) // merged


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("rag", {"context_input_ids": (10, 6), "context_attention_mask": (10, 6), "doc_scores": (2, 5)}),
        ("seggpt", {"pixel_values": (2, 3, 448, 448), "prompt_pixel_values": (2, 3, 448, 448)}),
        ("timesfm", {"past_values_padding": (2, 512), "freq": (2, 1)}),
        ("muse_glimmer_assistant", {"noise_embeds": (2, 16, 64), "context_hidden_states": (2, 6, 5 * 64)}),
        ("unlimited_ocr_vision_encoder", {"patch_embeds": (2, 64, 16, 16)}),
        ("t5gemma2_decoder", {"encoder_hidden_states": (2, 6, 64)}),
    ],
)
def test_other_arguments_follow_from_the_config(kind: str, shapes: dict[str, tuple[int, ...]]) -> None:
    sizes = {"batch": 2} | ({} if kind in {"seggpt", "timesfm", "unlimited_ocr_vision_encoder"} else {"sequence": 6})
    given = load_model(f"hf:{config_file(kind)}", sizes).kwargs
    assert {name: tuple(given[name].shape) for name in shapes} == shapes


def test_a_part_of_another_library_says_what_it_was_built_for() -> None:
    """The config of the part names an architecture, and no side."""
    given = load_model(f"hf:{config_file('pe_video_encoder')}", {"frames": 2}).kwargs
    assert given["pixel_values_videos"].shape == (1, 2, 3, 336, 336)


def test_a_decode_step_fills_its_cache_with_the_image_in_its_place() -> None:
    """The encoder reads the image among the words, and every step attends to both."""
    given = load_model(f"hf:{config_file('t5gemma2')}#decode", {"sequence": 6, "context": 4}).kwargs
    assert given["encoder_last_hidden_state"].shape[1] == 49 + 6
