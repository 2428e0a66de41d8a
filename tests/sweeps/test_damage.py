"""Folders of sweeps with damaged parts and manifests: named when they are read, and computed anew by the same call."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stored_sweeps import AXES, BATCH, PARTS, POINTS, check_equal, content, run_of
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.errors import Error, FileAccessError, InputError, MissingFileError
from pyinfercost.sweeps import files, parts, storage
from pyinfercost.sweeps.manifest import MANIFEST
from pyinfercost.sweeps.parts import DamagedPartError, check_part, is_whole
from pyinfercost.sweeps.storage import run_to_folder

pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def expected() -> ic.results.Sweep:
    return ic.sweep(blocks(), batch=BATCH, **AXES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ic.StoredSweep:
    return run_to_folder(run_of(), tmp_path_factory.mktemp("sweep") / "grid")


@pytest.fixture
def stored(made: ic.StoredSweep, tmp_path: Path) -> ic.StoredSweep:
    """A copy that a test may damage."""
    return ic.StoredSweep(shutil.copytree(made.path, tmp_path / "grid"))


def identity(sweep: ic.StoredSweep) -> str:
    return sweep._manifest.sweep_id


# ---- parts ----


def zeros_in_the_middle(part: Path, other: Path) -> None:
    data = bytearray(part.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    part.write_bytes(data)


def one_bit_of_a_page(part: Path, other: Path) -> None:
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 4
    part.write_bytes(data)


def one_bit_of_the_footer(part: Path, other: Path) -> None:
    data = bytearray(part.read_bytes())
    data[-200] ^= 4
    part.write_bytes(data)


def cut(part: Path, other: Path) -> None:
    os.truncate(part, part.stat().st_size * 2 // 3)


def cut_and_filled_with_zeros(part: Path, other: Path) -> None:
    size = part.stat().st_size
    os.truncate(part, size // 2)
    os.truncate(part, size)


def emptied(part: Path, other: Path) -> None:
    part.write_bytes(b"")


def longer(part: Path, other: Path) -> None:
    part.write_bytes(part.read_bytes() + b"PAR1")


def the_part_of_another_sweep(part: Path, other: Path) -> None:
    shutil.copy(other, part)


def another_part_of_this_sweep(part: Path, other: Path) -> None:
    shutil.copy(part.with_name("part-00000004.parquet"), part)


def foreign_parquet(part: Path, other: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(parquet.read_table(part).replace_schema_metadata(None), part)


AT_THE_END = [
    one_bit_of_the_footer,
    cut,
    cut_and_filled_with_zeros,
    emptied,
    longer,
    the_part_of_another_sweep,
    another_part_of_this_sweep,
    foreign_parquet,
]
"""Damage that is found when a folder is opened; other damage is found when its column is read."""
DAMAGE = [zeros_in_the_middle, one_bit_of_a_page, *AT_THE_END]


@pytest.fixture(scope="module")
def other_part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of a sweep over the same points with other prices."""
    path = tmp_path_factory.mktemp("other") / "grid"
    ic.sweep(blocks(), batch=BATCH, **{**AXES, "price": 3.5}, out=path)
    return path / "part-00000000.parquet"


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.sample(2)
def test_a_damaged_part_is_named_when_it_is_read_and_alone_computed_anew(
    stored: ic.StoredSweep, expected: ic.results.Sweep, other_part: Path, damage: Callable[[Path, Path], None]
) -> None:
    before = content(stored.path)
    part = stored.parts[3]
    times = {each.name: each.stat().st_mtime_ns for each in stored.parts if each != part}
    damage(part, other_part)
    assert not is_whole(part, identity(stored))

    again = ic.StoredSweep(stored.path)
    assert again.complete == (damage not in AT_THE_END)
    message = rf"part-00000003\.parquet is damaged: .*; run the same sweep with out='{stored.path}' again"
    uses: list[Callable[[], Any]] = [
        lambda: again.where(None),
        lambda: [dict(points.data) for points in again],
        again.to_rows,
    ]
    if damage in AT_THE_END:
        uses += [
            lambda: again.pareto("latency_s", "cost_usd"),
            lambda: again.best("cost_usd"),
            lambda: again.head(1),
            lambda: again.tail(1),
            again.dataset,
        ]
    else:  # columns that are not read may be damaged
        uses += [lambda: again.head(POINTS)]
    for use in uses:
        with pytest.raises(DamagedPartError, match=message) as caught:
            use()
        assert caught.value.path == part
        assert isinstance(caught.value, InputError)

    computed: list[int] = []
    run = run_of(progress=lambda done, total: computed.append(done))
    check_equal(run_to_folder(run, stored.path).where(None), expected)
    assert computed == [POINTS - POINTS // PARTS, POINTS]
    assert content(stored.path) == before
    assert {name: (stored.path / name).stat().st_mtime_ns for name in times} == times


def test_every_byte_of_a_part_is_covered(tmp_path: Path) -> None:
    stored = run_to_folder(run_of(), tmp_path / "grid")
    part = stored.parts[0]
    whole = part.read_bytes()
    check_part(part, identity(stored))
    random = np.random.default_rng(7)
    places = [*range(8), *range(len(whole) - 300, len(whole)), *random.integers(0, len(whole), 300).tolist()]
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1 << (place % 8)
        part.write_bytes(data)
        with pytest.raises(DamagedPartError):
            check_part(part, identity(stored))


@pytest.mark.slow
def test_random_bytes_never_give_other_errors(stored: ic.StoredSweep, expected: ic.results.Sweep) -> None:
    """Either the damage is found, or the columns that are read are not touched by it."""
    part = stored.parts[2]
    whole = part.read_bytes()
    random = np.random.default_rng(11)
    found = 0
    for number in range(150):
        data = bytearray(whole)
        first = int(random.integers(0, len(data)))
        length = int(random.integers(1, 400))
        data[first : first + length] = random.bytes(length) if number % 3 else b""
        part.write_bytes(data)
        read, told = None, ""
        try:
            read = ic.StoredSweep(stored.path).where("latency_s > 0")
        except InputError as error:
            told = str(error)
        if read is None:
            found += 1
            assert "part-00000002.parquet is damaged" in told
        else:
            check_equal(read, expected)
    assert found > 140


def test_a_part_that_lies_about_its_length_is_found(stored: ic.StoredSweep) -> None:
    """Its digests are right, as an enemy would make them."""
    part = stored.parts[1]
    data = part.read_bytes()
    seal = parts._SEAL.search(data)
    assert seal is not None
    for claimed, opened in ((b"999", True), (b"399", False)):
        start = seal.start(5)
        footer_start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        changed = data.replace(b'"rows": 400', b'"rows": ' + claimed)
        blank = changed[footer_start:start] + b"0" * 32 + changed[start + 32 :]
        part.write_bytes(changed[:start] + parts._digest(blank) + changed[start + 32 :])
        again = ic.StoredSweep(stored.path)
        assert again.complete != opened
        with pytest.raises(DamagedPartError, match="it has 999 points; expected 400" if opened else "has 400 rows"):
            again.best("latency_s")


def test_a_part_that_goes_away_is_missed(stored: ic.StoredSweep) -> None:
    stored.parts[5].unlink()
    for use in (lambda: stored.where(None), lambda: stored.best("latency_s")):
        with pytest.raises(MissingFileError, match="part-00000005"):
            use()
    assert not ic.StoredSweep(stored.path).complete


# ---- manifests ----


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({key: ...}, f"has no '{key}'") for key in ("key", "where", "model", "points", "chunk_points", "parts")),
        *(({key: ...}, f"has no '{key}'") for key in ("columns", "sizes")),
        ({"schema_version": ...}, "has schema_version None; expected 2"),
        ({"schema_version": 1}, "has schema_version 1; expected 2. Run the sweep into another folder"),
        ({"key": 5}, "has key 5; expected 64 hexadecimal digits"),
        ({"key": "A" * 64}, "has key 'AAA"),
        ({"where": []}, r"has where \[\]; expected a text"),
        ({"model": None}, "has model None; expected a text"),
        ({"model": "\ud800"}, r"has model '\\ud800'; expected a text in Unicode"),
        ({"points": True}, "has points True; expected a whole number"),
        ({"points": 2**63}, "has points 9223372036854775808; expected a whole number"),
        ({"points": 4000.0}, "has points 4000.0"),
        ({"chunk_points": 0}, "has chunk_points 0"),
        ({"parts": "x"}, "has parts 'x'; expected a whole number from 1 to 1048576"),
        ({"parts": 3_000_000}, "has parts 3000000; expected a whole number from 1 to 1048576"),
        ({"parts": 9}, "has parts 9; expected 10, for 4000 points in parts of 400"),
        ({"parts": -1}, "has parts -1"),
        ({"columns": None}, "has columns None; expected a list of different names"),
        ({"columns": ["a", "a"]}, "has columns"),
        ({"columns": ["batch", "\udfff"]}, r"has columns \['batch', '\\udfff'\]"),
        ({"columns": [["batch"]]}, "has columns"),
        ({"sizes": "batch"}, "has sizes 'batch'; expected a list"),
        ({"sizes": ["nothing"]}, r"has sizes \['nothing'\], which columns lack"),
    ],
)
def test_a_wrong_manifest_is_refused_and_its_key_named(
    stored: ic.StoredSweep, change: dict[str, Any], message: str
) -> None:
    file = stored.path / MANIFEST
    held = {**json.loads(file.read_text()), **change}
    file.write_text(json.dumps({key: value for key, value in held.items() if value is not ...}))
    before = content(stored.path)
    for use in (lambda: ic.StoredSweep(stored.path), lambda: run_to_folder(run_of(), stored.path)):
        with pytest.raises(InputError, match=message):
            use()
    assert content(stored.path) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nests too deeply"),
        ('{"a":' * 100_000, "nests too deeply"),
        ("", "no manifest of a sweep"),
        ("[]", "expected an object"),
        ("7" * 5000, "no manifest of a sweep"),
        ("NaN", "expected an object, got nan"),
        ('"' + "x" * 2**24 + '"', "more than 16,777,216 bytes"),
    ],
    ids=["lists", "objects", "empty", "list", "digits", "nan", "large"],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=message):
        ic.StoredSweep(tmp_path)


def test_a_manifest_of_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no manifest of a sweep"):
        ic.StoredSweep(tmp_path)
    for path in ("", "a\0b", b"bytes", 5):
        with pytest.raises(Error, match="expected a path"):
            ic.StoredSweep(path)  # type: ignore[arg-type]
        with pytest.raises(Error, match="expected a path"):
            ic.sweep(blocks(), hardware="t4", out=path)  # type: ignore[call-overload]


# ---- disks ----


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.sample(1)
def test_a_full_disk_keeps_what_is_there_and_the_call_goes_on(
    tmp_path: Path, expected: ic.results.Sweep, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    calls = 0

    def full(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        writes = call == "fsync" or ("part-" in str(arguments[0]) and arguments[1] != "rb")
        calls += writes
        if writes and calls > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments, **options)

    where: Any = os if call == "fsync" else Path
    original = getattr(where, call)
    with monkeypatch.context() as patched:
        patched.setattr(where, call, full)
        with pytest.raises(
            FileAccessError, match=r"No space left.*; make room or access, and repeat the call"
        ) as caught:
            run_to_folder(run_of(workers=1), tmp_path / "grid")
    assert caught.value.errno == errno.ENOSPC
    partial = caught.value.partial  # type: ignore[attr-defined]
    assert 0 < len(partial) < POINTS
    check_equal(partial.where(None), expected.take(np.arange(len(partial))))
    assert not [name for name in content(tmp_path / "grid") if name.endswith(".tmp")]
    check_equal(run_to_folder(run_of(), tmp_path / "grid").where(None), expected)


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_limit_on_the_size_of_files_is_a_clear_error(tmp_path: Path, expected: ic.results.Sweep) -> None:
    import resource
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
        with pytest.raises(FileAccessError, match="File too large"):
            run_to_folder(run_of(), tmp_path / "grid")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    check_equal(run_to_folder(run_of(), tmp_path / "grid").where(None), expected)


def test_a_folder_that_cannot_be_written_or_read_is_a_clear_error(
    stored: ic.StoredSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    stored.parts[0].unlink()
    with monkeypatch.context() as patched:
        patched.setattr(files, "_write", refused)
        for path in (tmp_path / "new", stored.path):
            with pytest.raises(FileAccessError, match="Permission denied") as caught:
                run_to_folder(run_of(), path)
            assert caught.value.errno == errno.EACCES
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refused)
        with pytest.raises(FileAccessError, match="Permission denied") as caught:
            ic.StoredSweep(stored.path)
        assert caught.value.errno == errno.EACCES


def test_data_reach_the_disk_before_their_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    sync, replace = os.fsync, Path.replace

    def synchronized(descriptor: int) -> None:
        seen.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        sync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        seen.append(("rename", target.name))
        return replace(self, target)

    if not Path("/proc/self/fd").exists():
        pytest.skip("names of descriptors are read from /proc")
    monkeypatch.setattr(os, "fsync", synchronized)
    monkeypatch.setattr(Path, "replace", renamed)
    files.make_folder(tmp_path / "a" / "b")
    assert seen == [("sync", "a"), ("sync", tmp_path.name)]
    seen.clear()
    files.write_whole(tmp_path / "a" / "data", [b"one", b"two"])
    assert [what for what, _ in seen] == ["sync", "rename", "sync"]
    assert [name for _, name in seen[1:]] == ["data", "a"]
    assert seen[0][1].startswith(".data.")
    assert (tmp_path / "a" / "data").read_bytes() == b"onetwo"


# ---- threads ----


@pytest.mark.slow
def test_one_object_is_used_by_several_threads(stored: ic.StoredSweep, expected: ic.results.Sweep) -> None:
    best, where = expected.best("cost_usd", where="batch > 3"), expected.where("batch % 7 == 0")
    failed: list[BaseException] = []

    def use() -> None:
        try:
            for _ in range(2):
                assert stored.best("cost_usd", where="batch > 3") == best
                check_equal(stored.where("batch % 7 == 0"), where)
                for points, part in zip(stored, range(PARTS), strict=True):
                    assert points["latency_s"][0] == expected["latency_s"][part * POINTS // PARTS]
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


@pytest.mark.slow
def test_columns_of_one_part_are_read_by_several_threads_while_one_forgets_them(stored: ic.StoredSweep) -> None:
    (data, *_) = (points.data for points in stored)
    assert isinstance(data, parts.PartColumns)
    expected = data["latency_s"].tolist()
    failed: list[BaseException] = []
    stop = time.monotonic() + 0.5

    def use() -> None:
        try:
            while time.monotonic() < stop:
                assert data["latency_s"].tolist() == expected
                assert data.at("latency_s", np.arange(2)).tolist() == expected[:2]
                data.forget()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    assert storage.StoredSweep(stored.path).complete
