"""Files of graphs: what other JSON files of models are, and what to pass instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost.errors import InputError


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"model_type": "llama"}, "pass hf:"),
        ({"_class_name": "UNet2DConditionModel"}, "pass diffusers:"),
        ({"peft_type": "LORA"}, "describes an adapter"),
        ({"weight_map": {}}, "is the index of the files of weights"),
        ({"tokenizer_class": "X"}, "is of a tokenizer"),
        ({"schema_version": 1, "totals": {}, "layers": []}, "is a profile"),
        ({"a": 1}, "is no graph: .*unknown key 'a'"),
    ],
)
def test_other_files_of_models_say_what_they_are(tmp_path: Path, document: dict[str, Any], words: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match=words) as told:
        ic.capture(str(path))
    assert "other.json" in str(told.value)


def test_files_that_end_early_are_named(tmp_path: Path) -> None:
    for text, words in (("", "is empty"), ('{"tensors":', "is no graph: .*not valid JSON")):
        path = tmp_path / "cut.json"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=f"cut.json.* {words}"):
            ic.capture(str(path))
