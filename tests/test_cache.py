"""The folder of computed things: what many processes, killed ones, and other users do to it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyinfercost import _cache

KEY = _cache.digest("a key")
BODY = bytes(range(256)) * 64


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PYINFERCOST_CACHE_DIR", str(folder))
    monkeypatch.delenv("PYINFERCOST_CACHE_BYTES", raising=False)
    return folder


def entry_of(place: Path) -> Path:
    (path,) = place.glob("*.entry")
    return path


def test_what_was_written_is_read(place: Path) -> None:
    assert _cache.read("graph", KEY) is None
    assert _cache.write("graph", KEY, BODY)
    assert _cache.read("graph", KEY) == BODY
    assert _cache.read("machine", KEY) is None
    assert [(entry.kind, entry.nbytes > len(BODY)) for entry in _cache.entries()] == [("graph", True)]
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry_of(place).stat().st_mode) == 0o600
    assert _cache.clear() == 1
    assert _cache.read("graph", KEY) is None


def test_the_folder_is_that_of_the_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PYINFERCOST_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _cache.folder() == str(tmp_path / ".cache" / "pyinfercost")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert _cache.folder() == str(tmp_path / ".cache" / "pyinfercost")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert _cache.folder() == str(tmp_path / "xdg" / "pyinfercost")
    monkeypatch.setenv("PYINFERCOST_CACHE_DIR", str(tmp_path / "own"))
    assert _cache.folder() == str(tmp_path / "own")
    with _cache.placed(None):
        assert _cache.folder() is None
        assert not _cache.write("graph", KEY, BODY)
    monkeypatch.setenv("PYINFERCOST_NO_CACHE", "1")
    assert _cache.folder() is None
    assert _cache.read("graph", KEY) is None
    assert "switched off" in str(_cache.trouble())


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "longer", "head"])
def test_a_damaged_entry_is_removed(place: Path, damage: str) -> None:
    _cache.write("graph", KEY, BODY)
    path = entry_of(place)
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 1
    path.write_bytes(
        {
            "cut": bytes(content[:-1]),
            "bit": bytes(content),
            "empty": b"",
            "longer": bytes(content) + b"x",
            "head": b"x" + bytes(content[1:]),
        }[damage]
    )
    assert _cache.read("graph", KEY) is None
    assert not path.exists()
    assert _cache.write("graph", KEY, BODY)
    assert _cache.read("graph", KEY) == BODY


def test_the_least_recently_used_entries_are_removed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYINFERCOST_CACHE_BYTES", str(10 * len(BODY)))
    keys = [_cache.digest(number) for number in range(30)]
    for number, key in enumerate(keys):
        assert _cache.write("graph", key, BODY)
        os.utime(place / f"graph-{key}.entry", (number, number))
        assert _cache.read("graph", keys[0]) == BODY  # the first one is in use all the time
    assert sum(entry.nbytes for entry in _cache.entries()) <= 10 * len(BODY)
    assert len(_cache.entries()) >= 7
    assert _cache.read("graph", keys[-1]) == BODY
    assert _cache.read("graph", keys[1]) is None
    assert not _cache.write("graph", KEY, BODY * 9)  # would leave no place for others
    monkeypatch.setenv("PYINFERCOST_CACHE_BYTES", "0")
    assert not _cache.write("graph", KEY, b"")


@pytest.mark.parametrize("text", ["abc", "-1", "1e6"])
def test_a_wrong_limit_is_reported_and_not_used(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _cache.wrong_limit() is None
    monkeypatch.setenv("PYINFERCOST_CACHE_BYTES", text)
    assert _cache.limit_bytes() == _cache.DEFAULT_BYTES
    assert repr(text) in str(_cache.wrong_limit())
    monkeypatch.setenv("PYINFERCOST_CACHE_BYTES", "1000")
    assert _cache.wrong_limit() is None


@pytest.mark.parametrize("years", [-60, -1, 1, 200])
def test_a_clock_that_jumps_loses_nothing(place: Path, years: int) -> None:
    _cache.write("graph", KEY, BODY)
    then = time.time() + years * 365 * 86400
    os.utime(entry_of(place), (then, then))
    assert _cache.write("graph", _cache.digest("other"), BODY)
    assert _cache.read("graph", KEY) == BODY
    assert len(_cache.entries()) == 2


def test_unfinished_files_of_killed_processes_are_removed_later(place: Path) -> None:
    place.mkdir(mode=0o700)
    old, new = place / f".graph-{KEY}.entry.1.aa.new", place / f".graph-{KEY}.entry.2.bb.new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    other = place / "notes.txt"
    other.write_text("not ours")
    _cache.write("graph", _cache.digest("other"), BODY)
    assert (old.exists(), new.exists(), other.exists()) == (False, True, True)
    _cache.clear()
    assert (new.exists(), other.exists()) == (False, True)


def test_a_folder_that_is_a_file_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/dev/null"), Path("/proc/nothing/here")):
        (tmp_path / "file").write_text("x")
        monkeypatch.setenv("PYINFERCOST_CACHE_DIR", str(place))
        assert not _cache.write("graph", KEY, BODY)
        assert _cache.read("graph", KEY) is None
        assert _cache.entries() == []
        assert _cache.clear() == 0
    for place in ("\0", "x" * 5000):
        with _cache.placed(place):
            assert not _cache.write("graph", KEY, BODY)
            assert _cache.read("graph", KEY) is None


def test_a_folder_that_others_may_write_to_is_not_used(place: Path) -> None:
    _cache.write("graph", KEY, BODY)
    place.chmod(0o777)
    assert _cache.read("graph", KEY) is None
    assert not _cache.write("graph", KEY, BODY)
    assert _cache.clear() == 0
    assert _cache.trouble() == "others may write to it"


def test_what_another_user_put_there_is_not_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cache.write("graph", KEY, BODY)
    link = place / f"graph-{_cache.digest('link')}.entry"
    link.symlink_to(entry_of(place))
    assert _cache.read("graph", _cache.digest("link")) is None
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert _cache.read("graph", KEY) is None
    assert _cache.trouble() == "it belongs to another user"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_leaves_nothing_behind(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cache.write("graph", _cache.digest("before"), BODY)
    opened = os.open

    def full(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_CREAT:
            os.close(opened(path, flags, *rest))
            return opened("/dev/full", os.O_WRONLY)
        return opened(path, flags, *rest)

    monkeypatch.setattr(os, "open", full)
    assert not _cache.write("graph", KEY, BODY)
    assert [path.name for path in place.iterdir()] == [f"graph-{_cache.digest('before')}.entry"]


WRITER = """
import sys
from pyinfercost import _cache
number = int(sys.argv[1])
while True:
    for key in range(6):
        name = _cache.digest(key)
        body = _cache.read("graph", name)
        want = str(key).encode() * (50_000 + key)
        if body is not None and body != want:
            print("WRONG", key, len(body), flush=True)
        _cache.write("graph", name, want)
    print("ok", flush=True)
"""


def test_eight_processes_that_are_killed_at_any_time_corrupt_nothing(place: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYINFERCOST_CACHE_BYTES": "2000000"}
    said: list[str] = []
    for _ in range(3):
        running = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(n)], env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True
            )
            for n in range(8)
        ]
        for process in running:
            assert process.stdout is not None
            said.append(process.stdout.readline())  # it writes now
        for process in running:
            process.send_signal(signal.SIGKILL)
        said += [process.communicate(timeout=60)[0] for process in running]
    assert "WRONG" not in "".join(said)
    assert said[0].strip() == "ok"
    for key in range(6):
        body = _cache.read("graph", _cache.digest(key))
        assert body in (None, str(key).encode() * (50_000 + key))
        assert _cache.write("graph", _cache.digest(key), b"new")
        assert _cache.read("graph", _cache.digest(key)) == b"new"
    assert not [path for path in place.iterdir() if path.name.endswith((".lock", ".pid"))]


def test_a_time_that_is_set_back_does_not_hide_a_change(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    before, status = _cache.of_file(str(path)), path.stat()
    time.sleep(0.05)  # longer than a tick of the file system's clock
    with path.open("r+b") as file:
        file.write(b"behind")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert _cache.of_file(str(path)) != before
