"""A folder of what this package computed before: captured graphs, machines, names of models.

An entry is a file named after the digest of its key. The key states all that the content depends on, so that an entry
is never changed, only written again with equal content, and a reader never needs a lock. The content begins with a
digest of the rest: an entry that is cut off or altered is removed, and computed again. Files are written next to their
place and renamed, so that a process that is killed leaves at most an unfinished file, which is later removed. The
least recently used entries are removed when all together exceed a limit.

Nothing here raises: a folder that cannot be used (read-only, full, a file, owned by another user) is not used.
Contents are JSON and the package's own formats, never pickles.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import NamedTuple

from . import _core

try:  # `hashlib` loads OpenSSL, which takes 3 ms
    from _blake2 import blake2b
except ImportError:  # pragma: no cover  # not CPython
    from hashlib import blake2b

DEFAULT_BYTES = 512_000_000
"""Maximum size of all entries, unless `PYINFERCOST_CACHE_BYTES` states another."""

_FORM = "1"
"""Version of the form of entries; part of each name, so that versions of the package can share a folder."""

_MAGIC = b"pyinfercost cache " + _FORM.encode() + b" "
_DIGEST_BYTES = 16
_SEAL = len(_MAGIC) + 2 * _DIGEST_BYTES + 1
_ENDING, _UNFINISHED = ".entry", ".new"
_LARGEST_SHARE = 0.25  # of the limit, for one entry
_KEPT_SHARE = 0.9  # of the limit, after entries were removed
_UNSEEN_SHARE = 1 / 64  # of the limit, which a process writes between two looks at all entries
_ABANDONED_S = 3600  # age of an unfinished file that no process can still be writing
_SHOWN = 40  # characters of a wrong setting in a message
_NO = {"1", "true", "yes", "on"}

_written: dict[str, int] = {}  # folder -> bytes that were written since its entries were looked at
_place: ContextVar[str | None] = ContextVar("cache_place", default=None)
_OFF = ""


class Entry(NamedTuple):
    """A file of the cache.

    Attributes:
        name: Its name.
        kind: Kind of its content, such as `graph`.
        nbytes: Its size.
        used_s: Time of its last use, in seconds since 1970.
    """

    name: str
    kind: str
    nbytes: int
    used_s: float


def folder() -> str | None:
    """Return the folder of the cache, which need not exist; None if it is switched off.

    `PYINFERCOST_CACHE_DIR`, else `pyinfercost` in `XDG_CACHE_HOME` or `~/.cache`. `PYINFERCOST_NO_CACHE=1` and
    `placed(None)` switch it off.
    """
    place = _place.get()
    if place is not None:
        return place or None
    if os.environ.get("PYINFERCOST_NO_CACHE", "").lower() in _NO:
        return None
    if given := os.environ.get("PYINFERCOST_CACHE_DIR"):
        return given
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # as the specification of XDG requires
        home = os.path.expanduser("~")
        if not os.path.isabs(home):  # there is no home
            return None
        base = os.path.join(home, ".cache")
    return os.path.join(base, "pyinfercost")


@contextmanager
def placed(place: str | None) -> Iterator[None]:
    """Use another folder within the context, in this thread; None switches the cache off."""
    token = _place.set(_OFF if place is None else place)
    try:
        yield
    finally:
        _place.reset(token)


def limit_bytes() -> int:
    """Return the maximum size of all entries: `PYINFERCOST_CACHE_BYTES`, or the default if that is no number."""
    given = _given_bytes()
    return DEFAULT_BYTES if given is None else given


def wrong_limit() -> str | None:
    """Return a sentence on a `PYINFERCOST_CACHE_BYTES` that is not used; None if it is valid or not set."""
    text = os.environ.get("PYINFERCOST_CACHE_BYTES", "")
    if not text or _given_bytes() is not None:
        return None
    return (
        f"PYINFERCOST_CACHE_BYTES is {text[:_SHOWN]!r}, expected a whole number of bytes of at least 0, such as "
        f"{DEFAULT_BYTES}, which is used instead"
    )


def _given_bytes() -> int | None:
    text = os.environ.get("PYINFERCOST_CACHE_BYTES", "")
    try:
        given = int(text)
    except ValueError:
        return None
    return given if given >= 0 else None


def digest(*parts: object) -> str:
    """Return a digest of 32 hexadecimal digits of values with a `repr` that states all of them."""
    return blake2b(repr(parts).encode("utf-8", "backslashreplace"), digest_size=_DIGEST_BYTES).hexdigest()


def read(kind: str, key: str) -> bytes | None:
    """Return the content of an entry, or None if there is none.

    Args:
        kind: Kind of its content.
        key: The `digest` of all that it depends on.
    """
    place = folder()
    if place is None or not _is_ours(place):
        return None
    path = os.path.join(place, _name(kind, key))
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            if not _may_trust(os.fstat(descriptor)):
                return None
            content = file.read()
    except (OSError, ValueError, MemoryError):
        return None
    body = content[_SEAL:]
    if content[:_SEAL] != _seal(body):
        _remove(path)
        return None
    with suppress(OSError):
        os.utime(path)
    return body


def write(kind: str, key: str, body: bytes) -> bool:
    """Store the content of an entry; return whether that was possible.

    Args:
        kind: Kind of its content.
        key: The `digest` of all that it depends on.
        body: The content.
    """
    place, most = folder(), limit_bytes()
    if place is None or len(body) + _SEAL > _LARGEST_SHARE * most:
        return False
    name = _name(kind, key)
    unfinished = os.path.join(place, f".{name}.{os.getpid()}.{os.urandom(4).hex()}{_UNFINISHED}")
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        if not _is_ours(place):
            return False
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with open(os.open(unfinished, flags, 0o600), "wb") as file:
            file.write(_seal(body))
            file.write(body)
        os.replace(unfinished, os.path.join(place, name))
    except (OSError, ValueError):  # also a path that no file system takes
        _remove(unfinished)
        return False
    except BaseException:  # Ctrl-C
        _remove(unfinished)
        raise
    _written[place] = _written.get(place, most) + _SEAL + len(body)
    if _written[place] >= _UNSEEN_SHARE * most:
        _written[place] = 0
        _evict(place, most)
    return True


def entries() -> list[Entry]:
    """Return all entries, the most recently used first."""
    place = folder()
    if place is None or not _is_ours(place):
        return []
    found = [entry for _, entry in _files(place) if entry.name.endswith(_ENDING)]
    return sorted(found, key=lambda entry: (-entry.used_s, entry.name))


def first_line(entry: Entry) -> str | None:
    """Return the spec of a captured graph; None for other entries."""
    place = folder()
    if place is None or entry.kind != "graph":
        return None
    try:
        with open(os.path.join(place, entry.name), "rb") as file:
            file.seek(_SEAL)
            import json

            return str(json.loads(file.readline(1_000_000))["spec"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clear() -> int:
    """Remove all entries and unfinished files; return how many."""
    place = folder()
    if place is None or not _is_ours(place):
        return 0
    return sum(_remove(path) for path, _ in _files(place))


def trouble() -> str | None:
    """Return in words why the folder cannot be used; None if it can, or does not exist yet."""
    place = folder()
    if place is None:
        return "it is switched off"
    try:
        status = os.stat(place)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return str(error)
    if not stat.S_ISDIR(status.st_mode):
        return "it is a file"
    if not _is_own(status):
        return "it belongs to another user"
    if status.st_mode & stat.S_IWOTH:
        return "others may write to it"
    if not os.access(place, os.W_OK):
        return "it is read-only: entries are read, and none is added"
    return None


def of_file(path: str) -> tuple[int, ...] | None:
    """Return what changes when a file is written; None if there is none.

    These are its size, inode, and times of modification and change, of which programs may set back the first.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def of_files(place: str, ending: str) -> str:
    """Return a digest of the `of_file` of all files with an ending in a folder and those below it."""
    found: list[tuple[str, int, int, int]] = []
    open_folders = [(place, "")]
    while open_folders:
        path, prefix = open_folders.pop()
        with suppress(OSError), os.scandir(path) as files:
            for file in files:
                if file.name.endswith(ending):
                    status = file.stat()
                    found.append((prefix + file.name, status.st_size, status.st_mtime_ns, status.st_ino))
                elif not file.name.startswith((".", "__")) and file.is_dir():
                    open_folders.append((file.path, f"{prefix}{file.name}/"))
    return digest(*sorted(found))


def of_package(*rooms: str) -> tuple[object, ...]:
    """Return what changes with this package: its version, the core, and the source files of some rooms."""
    here = os.path.dirname(__file__)
    return (
        _core.__version__,
        of_file(_core.__file__),
        sys.implementation.cache_tag,
        *(of_files(os.path.join(here, room), ".py") for room in rooms),
    )


def _name(kind: str, key: str) -> str:
    return f"{kind}-{key}{_ENDING}"


def _seal(body: bytes) -> bytes:
    return _MAGIC + blake2b(body, digest_size=_DIGEST_BYTES).hexdigest().encode() + b"\n"


def _is_ours(place: str) -> bool:
    """Return whether a folder belongs to this user: nobody else can have put files there, or gets to read them."""
    try:
        status = os.stat(place)
    except (OSError, ValueError):
        return False
    return stat.S_ISDIR(status.st_mode) and _is_own(status) and not status.st_mode & stat.S_IWOTH


def _may_trust(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and _is_own(status)


def _is_own(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def _files(place: str) -> list[tuple[str, Entry]]:
    """Return the entries and unfinished files of a folder with their paths; other files are nobody's business."""
    found = []
    with suppress(OSError), os.scandir(place) as files:
        for file in files:
            if not file.name.endswith((_ENDING, _UNFINISHED)):
                continue
            with suppress(OSError):  # another process has removed it
                status = file.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    kind = file.name.lstrip(".").partition("-")[0]
                    found.append((file.path, Entry(file.name, kind, status.st_size, status.st_mtime)))
    return found


def _evict(place: str, most: int) -> None:
    """Remove files of killed processes, and the least recently used entries above the limit."""
    now_s = time.time()
    kept, total = [], 0
    for path, entry in _files(place):
        # A clock that was set back makes files look younger than none.
        if entry.name.endswith(_UNFINISHED) and abs(now_s - entry.used_s) > _ABANDONED_S:
            _remove(path)
            continue
        kept.append((entry.used_s, path, entry.nbytes))
        total += entry.nbytes
    if total <= most:
        return
    for _, path, nbytes in sorted(kept):
        if path.endswith(_UNFINISHED):
            continue
        _remove(path)
        total -= nbytes
        if total <= _KEPT_SHARE * most:
            return


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except (OSError, ValueError):
        return False
    return True
