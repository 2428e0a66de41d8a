"""The hierarchy of errors, checks of values and files, and escapes of text."""

from __future__ import annotations

import math
import os
import re
import unicodedata
from pathlib import Path

import pytest

import pyinfercost as ic
from pyinfercost import _checks, errors
from pyinfercost._checks import ANY_AMOUNT, COUNT, Fields, Range
from pyinfercost._escapes import visible, visible_lines

HIERARCHY = {
    "InputError": ValueError,
    "InputTypeError": TypeError,
    "InputIndexError": IndexError,
    "CountOverflowError": OverflowError,
    "UnknownNameError": (ValueError, KeyError),
    "TooLargeError": (ValueError, MemoryError),
    "MissingFileError": (ValueError, FileNotFoundError),
    "ExistingFileError": (ValueError, FileExistsError),
    "FileAccessError": OSError,
    "MissingLibraryError": ImportError,
    "UnsupportedError": NotImplementedError,
    "StateError": RuntimeError,
    "LayoutError": ValueError,
}


@pytest.mark.parametrize("name", HIERARCHY)
def test_an_error_is_of_the_base_and_of_the_exception_that_users_expect(name: str) -> None:
    error = getattr(errors, name)
    builtins = HIERARCHY[name]
    for builtin in builtins if isinstance(builtins, tuple) else (builtins,):
        assert issubclass(error, builtin)
    assert issubclass(error, ic.Error)
    assert error.__doc__


def test_the_module_lists_all_errors() -> None:
    assert {name for name in errors.__all__ if not issubclass(getattr(errors, name), Warning)} == {*HIERARCHY, "Error"}
    assert ic.Error is errors.Error
    assert issubclass(ic.CostBudgetExceededError, ic.Error)


@pytest.mark.parametrize("name", [*HIERARCHY, "Error"])
def test_a_message_is_its_text_with_escapes(name: str) -> None:
    error = getattr(errors, name)("a 'b'\x1b[2J \u202eabc\ud800\nsecond line")
    assert str(error) == "a 'b'\\x1b[2J \\u202eabc\\ud800\nsecond line"


def test_messages_of_the_core_are_escaped() -> None:
    with pytest.raises(ic.Error) as error:
        ic.Graph.from_json('{"\x9b31m\u202e": 1}')
    assert str(error.value).isprintable()


# ---- escapes ----


def test_no_character_that_controls_or_hides_is_left() -> None:
    for code in range(0x110000):
        character = chr(code)
        category = unicodedata.category(character)
        shown = visible(character)
        # Cc: controls. Cf: formats, such as marks of direction. Zl, Zp: line and paragraph separators. Cs: surrogates.
        if category in ("Cc", "Zl", "Zp", "Cs") or unicodedata.bidirectional(character) in _DIRECTIONS:
            assert re.fullmatch(r"\\([nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})", shown), hex(code)
        elif category[0] in "LNPS" and unicodedata.name(character, "").find("FILLER") < 0:
            assert shown == character, hex(code)


_DIRECTIONS = ("LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("features.0.conv", "features.0.conv"),
        ("größe 模型 😀 é", "größe 模型 😀 é"),
        ("\x1b[31m\x9b", r"\x1b[31m\x9b"),
        ("a\u200bb\ufeff\u2066", r"a\u200bb\ufeff\u2066"),
        ("\x00\x7f\t\r\n", r"\x00\x7f\t\r\n"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_escapes_are_those_of_python(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown
    assert visible_lines(text) == shown.replace(r"\n", "\n")


# ---- numbers ----


@pytest.mark.parametrize(
    "value", [True, "1", None, [], math.nan, math.inf, -1, 1e31, 1e-31, 10**400, 10**5000, 1j], ids=_checks.shown
)
def test_what_is_no_number_in_the_range(value: object) -> None:
    with pytest.raises(errors.InputError, match=r"^x is .*; expected 0 or a number from 1e-30 to 1e\+30$") as error:
        _checks.number(value, "x", ANY_AMOUNT)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("value", [True, "1", None, [], 1.0, 0, 10**6 + 1, 10**400, 10**5000], ids=_checks.shown)
def test_what_is_no_whole_number_in_the_range(value: object) -> None:
    with pytest.raises(errors.InputError, match=r"^x is .*; expected a whole number from 1 to 1000000$"):
        _checks.whole(value, "x", COUNT)


def test_numbers_are_converted_once() -> None:
    assert _checks.number(2, "x", COUNT) == 2.0
    assert isinstance(_checks.number(2, "x", COUNT), float)
    assert _checks.number(0, "x", Range(1, 2, zero=True)) == 0
    assert _checks.number_in("0.5", "x", Range(0, 1)) == 0.5
    with pytest.raises(errors.InputError, match=r"x is 'half'; expected a number from 0 to 1 s$"):
        _checks.number_in("half", "x", Range(0, 1, "s"))


class Unspeakable:
    """A value whose `repr` fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a" * 1000, "'a{99}\\.\\.\\.a{99}'"),
        (10**50, "a whole number of 51 digits"),
        (-(10**5000), "a whole number of 5001 digits"),
        ([10**5000], "a list"),
        (Unspeakable(), "a Unspeakable"),
        ("\x1b\u202e", r"'\\x1b\\u202e'"),
    ],
    ids=lambda value: _checks.shown(value)[:20],
)
def test_values_in_messages_are_short(value: object, words: str) -> None:
    assert re.fullmatch(words, _checks.shown(value))


# ---- documents and files ----


def test_a_field_names_its_place() -> None:
    fields = Fields({"layers": [{"op": "x"}, {"op": 3}], "count": 10**20, "rate": math.inf, "flag": 1}, "the file")
    first, second = fields.each("layers") or ()
    assert first.text("op") == "x"
    assert fields.number("count") == 10**20  # exact
    assert fields.number("rate") is None
    assert fields.number("absent") is None
    assert fields.inner("absent").text("x") is None
    for read, message in (
        (lambda: second.text("op"), r"op of layers\[1\] of the file is 3; expected a text"),
        (lambda: fields.whole("count", COUNT), "count of the file is 100000000000000000000; expected a whole number"),
        (lambda: fields.flag("flag"), "flag of the file is 1; expected True or False"),
        (lambda: fields.inner("count"), "count of the file is 100000000000000000000; expected an object"),
        (lambda: fields.each("flag"), "flag of the file is 1; expected a list of objects"),
        (lambda: fields.require("size"), "size of the file is missing"),
        (lambda: Fields([], "the file"), r"the file is \[\]; expected an object"),
        (lambda: Fields({"a": "\ud800"}, "the file").text("a"), "half of a surrogate pair"),
        (lambda: Fields({1: 2}, "the file").items(), "a key of the file is 1; expected a text"),
    ):
        with pytest.raises(errors.InputError, match=message):
            read()


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 5000, '"\\ud800', "nul"])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(errors.InputError, match=r"^x\.json "):
        _checks.parse_json(text, "x.json")


@pytest.mark.parametrize("name", ["absent", "a" * 300, "a\0b", "\ud800", ""])
def test_paths_without_a_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name / "file"
    assert not _checks.is_file(path)
    assert not _checks.is_folder(path)
    assert not _checks.exists(path)
    if len(name) == 300:
        with pytest.raises(errors.FileAccessError, match="cannot be read: File name too long"):
            _checks.read_text(path)
    else:
        with pytest.raises(errors.MissingFileError, match="cannot be read"):
            _checks.read_text(path)
    if name:
        with pytest.raises(errors.FileAccessError, match="cannot write"):
            _checks.write_text(path, "x")


def test_files_that_cannot_be_read_as_text(tmp_path: Path) -> None:
    with pytest.raises(errors.FileAccessError, match="is a folder" if os.name == "posix" else "cannot be read"):
        _checks.read_text(tmp_path)
    path = tmp_path / "latin"
    path.write_bytes(b"\xe9")
    with pytest.raises(errors.InputError, match="is not text in UTF-8"):
        _checks.read_text(path)


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (pipe, tmp_path / "link", Path("/dev/null")):
        with pytest.raises(errors.FileAccessError, match="is a pipe or a device; expected a file"):
            _checks.read_bytes(path)


def test_a_file_is_too_large_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sparse.json"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(errors.FileAccessError, match=r"has 1,099,511,627,776 bytes; expected at most 134,217,728"):
        _checks.read_json(path)
    with pytest.raises(errors.FileAccessError, match="expected at most 1,048,576"):
        _checks.read_toml(path)
    monkeypatch.setattr(_checks, "_MOST_VALUES", 3)
    for many in ("[[],[]]", '{"a": 1, "b": {}, "c": 2}'):
        with pytest.raises(errors.InputError, match="x has more than 3 values"):
            _checks.parse_json(many, "x")
    assert _checks.parse_json("[1, 2]", "x") == [1, 2]


@pytest.mark.parametrize("text", ["a{}=1", "[a{}]", "x={{y=1,a{}=1}}"])
def test_keys_of_many_parts_are_refused(text: str) -> None:
    assert _checks.parse_toml(text.format(".a" * 100), "x.toml")
    with pytest.raises(errors.InputError, match=r"x\.toml is not a TOML file: a key has more than 100 parts"):
        _checks.parse_toml(text.format(".a" * 40_000), "x.toml")  # half a minute in the parser


def test_a_long_line_comes_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"abc\n\nabcdefgh\ni")
    with _checks.open_file(path) as file:
        assert list(_checks.lines_of(file, 4)) == [
            (1, b"abc\n"),
            (2, b"\n"),
            (3, b"abcd"),
            (4, b"efgh"),
            (5, b"\n"),
            (6, b"i"),
        ]


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "marked"
    path.write_text('\ufeff{"a": 1}', encoding="utf-8")
    assert _checks.read_json(path) == {"a": 1}
    path.write_text("\ufeffa = 1", encoding="utf-8")
    assert _checks.read_toml(path) == {"a": 1}


def test_a_file_is_written_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "out"
    _checks.write_text(path, ["a\n", "é"])
    assert path.read_bytes() == b"a\n\xc3\xa9"

    def pieces() -> object:
        yield "a"
        raise errors.MissingFileError("a part of the source is missing")

    with pytest.raises(errors.MissingFileError, match="a part of the source"):
        _checks.write_text(path, pieces())  # type: ignore[arg-type]
