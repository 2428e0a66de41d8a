"""Maps of weight files: cut files are errors and never signals, other handlers work, and results are those of reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyinfercost import _core

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files are read on Windows")

DTYPES = [
    *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz"),
    *("float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2", "complex64", "int64", "int32", "int16", "int8"),
    *("int4", "uint64", "uint32", "uint16", "uint8", "uint4", "bool"),
]


def scanned(path: Path, dtype: str, rows: int, columns: int, **given: Any) -> list[dict[str, Any]]:
    """What a scan finds in a map of a file, and what it finds by reading."""
    found = []
    flat = given.pop("flat", False)
    with path.open("rb") as file:
        for mapped in (True, False):
            scan = _core.SparsityScan(dtype, rows, columns, flat=flat)
            scan.add(_core.FileBytes(file.fileno(), str(path), mapped=mapped), **given)
            found.append(scan.result())
    return found


def random_bytes(path: Path, size: int) -> Path:
    """A file in which four of five bytes are zero; after the first megabyte, it repeats itself."""
    data = np.random.default_rng(size).integers(0, 256, min(size, 1_000_003), dtype=np.uint8)
    data[data % 5 != 0] = 0
    path.write_bytes(np.resize(data, size).tobytes())
    return path


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 1, 6, 4095, 4096, 4099])
@pytest.mark.sample(30)
def test_maps_and_reads_give_the_same(tmp_path: Path, dtype: str, offset: int) -> None:
    columns = 1030
    rows = 1_300_000 * 8 // _core.element_bits(dtype) // columns  # weights up to a megabyte are not mapped
    path = random_bytes(tmp_path / "w", offset + (rows * columns * _core.element_bits(dtype) + 7) // 8)
    for flat in (False, True):
        shape = (1, rows * columns) if flat else (rows, columns)
        for threads in (1, 3):
            mapped, read = scanned(path, dtype, *shape, flat=flat, offset=offset, threads=threads)
            assert mapped == read
            assert 0 < mapped["zeros"] < mapped["elements"] or dtype == "float8_e8m0fnu"  # which has no zero


@pytest.mark.parametrize("shape", [(2_100, 65_536), (40, 4_000_000), (1, 140_000_000)])
@pytest.mark.sample(1)
def test_weights_of_several_maps_give_the_same(tmp_path: Path, shape: tuple[int, int]) -> None:
    """More than the 134,217,728 bytes that are mapped at a time; in the second, one band of rows is more."""
    path = random_bytes(tmp_path / "w", 7 + shape[0] * shape[1])
    mapped, read = scanned(path, "uint8", *shape, flat=shape[0] == 1, offset=7, threads=2)
    assert mapped == read
    data = np.fromfile(path, dtype=np.uint8)[7:]
    assert mapped["zeros"] == data.size - np.count_nonzero(data)


def test_rows_that_are_apart_give_the_same(tmp_path: Path) -> None:
    path = random_bytes(tmp_path / "w", 1000 * 5003)
    given = {"offset": 3, "row_stride": 5003, "threads": 2}
    mapped, read = scanned(path, "float32", 1000, 1200, **given)
    assert mapped == read
    whole = np.fromfile(path, dtype=np.uint8).reshape(1000, 5003)[:, 3 : 3 + 4800]
    values = np.ascontiguousarray(whole).view(np.uint32) & 0x7FFFFFFF  # negative zero is zero
    assert mapped["zeros"] == np.count_nonzero(values == 0)


def test_distances_beyond_reason_are_refused(tmp_path: Path) -> None:
    path = random_bytes(tmp_path / "w", 100)
    with pytest.raises(_core.InputError, match=r"ends at byte 100"):
        scanned(path, "float32", 64, 64)
    with pytest.raises(_core.InputError, match=r"64 rows at distances of \d+ bytes; expected at most 2\^62"):
        scanned(path, "float32", 64, 64, row_stride=2**60)


# --- in a process of its own -----------------------------------------------------------------------------------------

START = """
import faulthandler, mmap, os, resource, signal, subprocess, sys, threading, time
import numpy as np
import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.errors import Error
path, columns = sys.argv[1], 1024
size = os.path.getsize(path)

def scan(threads=1, mapped=True):
    with open(path, "rb") as file:
        scan = _core.SparsityScan("float32", size // 4 // columns, columns)
        scan.add(_core.FileBytes(file.fileno(), path, mapped=mapped), threads=threads)
        return scan.result()

def read_beyond_the_end():
    with open(path, "r+b") as file:
        other = mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ)
        os.truncate(path, 0)
        print("reads", flush=True)
        return other[size // 2]
"""


def run(tmp_path: Path, code: str, *options: str, size: int = 2**22) -> subprocess.CompletedProcess[str]:
    path = random_bytes(tmp_path / "weights", size)
    command = [sys.executable, *options, "-c", START + code, str(path)]
    # A sanitizer that reports the signal itself would hide how the process ends.
    environment = os.environ | {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:handle_sigbus=0"}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=300, env=environment
    )


CUTTER = """
import os, random, sys, time
path, whole = sys.argv[1], open(sys.argv[1], "rb").read()
print("ready", flush=True)
while True:
    cut = random.randrange(len(whole) // 8 * 7, len(whole))
    os.truncate(path, cut)
    with open(path, "r+b") as file:
        file.seek(cut)
        file.write(whole[cut:])
    time.sleep(random.random() * 0.004)
"""
CUT = """
cutter = subprocess.Popen([sys.executable, "-c", {cutter!r}, path], stdout=subprocess.PIPE)
cutter.stdout.readline()
errors = []
began = time.monotonic()
try:
    while len(errors) < {wanted} and time.monotonic() - began < 120:
        try:
            scan({threads})
        except Error as error:
            errors.append(str(error))
finally:
    cutter.kill()
assert all("ends at byte" in e or "could not be read at byte" in e for e in errors), errors
assert all(path in e and "scan it again when it is whole" in e for e in errors), errors
print(len(errors))
"""


@pytest.mark.parametrize("wanted", [2, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("faults", ["none", "before", "after"])
@pytest.mark.sample(1)
def test_a_file_that_another_process_cuts_never_ends_this_one(
    tmp_path: Path, threads: int, faults: str, wanted: int
) -> None:
    """With and without Python's own handler of SIGBUS, below and above the guard."""
    prepare = {"none": "", "before": "faulthandler.enable()\n", "after": "scan()\nfaulthandler.enable()\n"}[faults]
    code = prepare + CUT.format(cutter=CUTTER, threads=threads, wanted=wanted)
    result = run(tmp_path, code, size=8 * 2**20)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout == f"{wanted}\n"
    assert "Bus error" not in result.stderr


def test_a_cut_by_another_thread_is_an_error(tmp_path: Path) -> None:
    """The thread cuts before a scan of 32 MB, so that one error is certain, and at moments across the others."""
    code = """
whole = open(path, "rb").read()
start = time.perf_counter()
scan()
took = time.perf_counter() - start
refused = 0
for trial in range(12):
    thread = threading.Timer(took * trial / 12, os.truncate, (path, size // 3))
    thread.start()
    if trial == 0:
        thread.join()
    try:
        scan(1 + trial % 2)
    except Error as error:
        assert f"ends at byte {size // 3}" in str(error), error
        refused += 1
    thread.join()
    with open(path, "r+b") as file:
        file.write(whole)
print(refused)
"""
    result = run(tmp_path, code, size=2**25)
    assert result.returncode == 0, result.stderr[-2000:]
    assert int(result.stdout) > 0


@pytest.mark.parametrize(
    ("prepare", "reports"),
    [
        ("", 0),
        ("scan()", 0),
        ("faulthandler.enable()", 1),
        ("faulthandler.enable(); scan()", 1),
        ("scan(); faulthandler.enable()", 1),
        ("scan(); faulthandler.enable(); scan()", 1),
        ("faulthandler.enable(); scan(); faulthandler.disable(); scan(); faulthandler.enable(); scan()", 1),
        ("scan(); faulthandler.enable(); scan(); faulthandler.disable(); scan()", 0),
        ("[(faulthandler.enable(), scan(), faulthandler.disable()) for _ in range(40)]", 0),
        ("[(faulthandler.enable(), scan(), faulthandler.disable()) for _ in range(40)]; faulthandler.enable()", 1),
    ],
)
@pytest.mark.sample(4)
def test_a_fault_elsewhere_ends_the_process_as_before(tmp_path: Path, prepare: str, reports: int) -> None:
    result = run(tmp_path, prepare + "\nread_beyond_the_end()")
    assert result.returncode == -signal.SIGBUS
    assert result.stdout == "reads\n"
    assert result.stderr.count("Fatal Python error: Bus error") == reports


@pytest.mark.parametrize("prepare", ["", "scan()"])
@pytest.mark.sample(1)
def test_a_signal_that_was_sent_does_what_it_did_before(tmp_path: Path, prepare: str) -> None:
    ends = run(tmp_path, prepare + "\nos.kill(os.getpid(), signal.SIGBUS)")
    assert ends.returncode == -signal.SIGBUS
    ignored = run(
        tmp_path, f"signal.signal(signal.SIGBUS, signal.SIG_IGN)\n{prepare}\nos.kill(os.getpid(), signal.SIGBUS)"
    )
    assert ignored.returncode == 0, ignored.stderr
    handled = run(
        tmp_path,
        "signal.signal(signal.SIGBUS, lambda number, frame: print('handled', number == signal.SIGBUS))\n"
        f"{prepare}\nos.kill(os.getpid(), signal.SIGBUS)",
    )
    assert (handled.returncode, handled.stdout) == (0, "handled True\n"), handled.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the address space")
def test_a_refused_map_is_read(tmp_path: Path) -> None:
    code = """
expected = scan(1)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * mmap.PAGESIZE
resource.setrlimit(resource.RLIMIT_AS, (used + size // 2, resource.RLIM_INFINITY))
try:
    with open(path, "rb") as file:
        mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ)
except OSError:
    print("refused", scan(1) == expected)
"""
    result = run(tmp_path, code, size=100 * 2**20)
    assert (result.returncode, result.stdout) == (0, "refused True\n"), result.stderr


@pytest.mark.slow
def test_many_scans_at_a_time_and_children_beside_them(tmp_path: Path) -> None:
    """More scans than the guard has places, and forks while they run."""
    code = """
expected = scan()
wrong = []
def work():
    for _ in range(5):
        if scan() != expected:
            wrong.append(1)
threads = [threading.Thread(target=work) for _ in range(80)]
for thread in threads:
    thread.start()
children = []
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if scan() == expected else 1)
    children.append(child)
for thread in threads:
    thread.join()
print(len(wrong), [os.waitpid(child, 0)[1] for child in children])
"""
    result = run(tmp_path, code)
    assert (result.returncode, result.stdout) == (0, "0 [0, 0, 0, 0, 0]\n"), result.stderr


def test_a_file_that_is_replaced_keeps_its_bytes(tmp_path: Path) -> None:
    path = random_bytes(tmp_path / "w", 2**22)
    with path.open("rb") as file:
        source = _core.FileBytes(file.fileno(), str(path))
        first, second = (_core.SparsityScan("float32", 1024, 1024) for _ in range(2))
        first.add(source)
        other = tmp_path / "other"
        other.write_bytes(b"")
        other.replace(path)
        second.add(source)
    assert first.result() == second.result()


def test_a_pipe_is_an_error() -> None:
    ends = os.pipe()
    try:
        scan = _core.SparsityScan("float32", 1, 1)
        with pytest.raises(_core.InputError, match="pipe cannot be read at byte 0"):
            scan.add(_core.FileBytes(ends[0], "pipe"))
        with pytest.raises(_core.InputError, match="regions of 0 elements were scanned; expected 1"):
            scan.result()
    finally:
        for end in ends:
            os.close(end)
