"""Questions about requests, in the options of the command that answers them."""

from __future__ import annotations

import click
import pytest

import pyinfercost as ic
from pyinfercost.advice.questions import fleet_question, workload_words
from pyinfercost.cli import main

FLEET = fleet_question({"traffic": "poisson:1", "prompt": "4", "output": "8", "duration_s": 60.0}, "ttft_p99<1").words
SERVE = workload_words(ic.Workload(rate_per_s=4, prompt=64, output=16, requests=100))


@pytest.mark.parametrize(("command", "words"), [("fleet", FLEET), ("serve", SERVE)])
def test_words_are_options_of_their_command(command: str, words: tuple[str, ...]) -> None:
    options = [each for each in main.commands[command].params if isinstance(each, click.Option)]
    named = {option: each for each in options for option in each.opts}
    given = dict(zip(words[::2], words[1::2], strict=True))
    assert given.keys() <= named.keys()
    assert not [option for option in given if named[option].metavar == "FILE"]
    assert given["--output-tokens"] == {"fleet": "8", "serve": "16"}[command]
