"""What pages need of browsers, and what the helper of tests notices, in Chromium and in Firefox."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from support.browsing import SIZES, drop_file, opened

pytestmark = pytest.mark.browser

# (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
MODULE = bytes.fromhex("0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b")

SCRIPT = """
const bytes = Uint8Array.from(atob(MODULE), (one) => one.charCodeAt(0));
const worker = () => new Worker(URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" })));
const answered = (message) => new Promise((done, failed) => {
  const one = worker();
  one.onmessage = ({ data }) => { one.terminate(); done(data); };
  one.onmessageerror = () => { one.terminate(); failed(new Error("the message cannot be read")); };
  one.onerror = (event) => { one.terminate(); failed(new Error(event.message)); };
  one.postMessage(message);
});
async function inflated(text) {
  const packed = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
}
const found = {
  async compiled() {
    const { instance } = await WebAssembly.instantiate(bytes, {});
    return instance.exports.add(2, 3);
  },
  inWorkerFromBytes: () => answered({ bytes }),
  inWorkerFromModule: async () => answered({ module: await WebAssembly.compile(bytes) }),
  inflated: () => inflated(PACKED),
  evaluated: () => eval("1"),
};
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  document.body.dataset.dropped = `${file.name} ${file.size} ${await file.slice(1, 3).text()}`;
});
document.addEventListener("keydown", (event) => {
  document.body.dataset.key = (event.shiftKey ? "Shift+" : "") + event.key;
});
document.documentElement.dataset.ready = "";
"""
WORKER = """
onmessage = async ({ data: { bytes, module } }) => {
  const made = await WebAssembly.instantiate(module ?? bytes, {});
  postMessage((made.instance ?? made).exports.add(20, 3));
};
"""


def page_with(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}' 'wasm-unsafe-eval'; worker-src blob:; "
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><title>Test</title><style>body {{ background: white }} @media (prefers-color-scheme: dark)'
        f" {{ body {{ background: black }} }}</style><body>Test<script>{script}</script></body></html>"
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import json
    import zlib

    packed = base64.b64encode(zlib.compress(b"as it was" * 100)).decode()
    constants = {"MODULE": base64.b64encode(MODULE).decode(), "WORKER": WORKER, "PACKED": packed}
    script = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in constants.items()) + SCRIPT
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page_with(script), encoding="utf-8")
    return path


@pytest.mark.sample(1)
def test_a_strict_page_compiles_inflates_and_has_workers(each_browser: Any, file: Path) -> None:
    with opened(each_browser, file) as page:
        assert page.evaluate("found.compiled()") == 5
        assert page.evaluate("found.inWorkerFromBytes()") == 23
        assert page.evaluate("found.inWorkerFromModule()") == 23
        assert page.evaluate("async () => (await found.inflated()).length") == 900
        assert page.evaluate("document.fullscreenElement") is None


@pytest.mark.sample(1)
def test_sizes_colors_keys_files_and_pictures(each_browser: Any, file: Path, tmp_path: Path) -> None:
    for size, dark in (("phone", False), ("wide", True)):
        with opened(each_browser, file, size=size, dark=dark) as page:
            assert page.evaluate("[innerWidth, innerHeight]") == list(SIZES[size])
            color = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert color == ("rgb(0, 0, 0)" if dark else "rgb(255, 255, 255)")
    with opened(each_browser, file) as page:
        page.set_viewport_size({"width": 500, "height": 400})
        assert page.evaluate("[innerWidth, innerHeight]") == [500, 400]
        for key in ("ArrowRight", "a", "Escape", "Shift+Home"):
            page.keyboard.press(key)
            assert page.evaluate("document.body.dataset.key") == key
        drop_file(page, "body", "model.gguf", b"GGUF")
        page.evaluate("new Promise((done) => setTimeout(done, 50))")
        assert page.evaluate("document.body.dataset.dropped") == "model.gguf 4 GU"
        picture = tmp_path / "page.png"
        page.screenshot(path=picture)
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert page.evaluate("(name) => `${name}!`", "x") == "x!"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("console.warn('careful')", "console warn"),
        ("setTimeout(() => { throw new Error('broken'); })", "broken"),
        ("const image = new Image(); image.src = 'http://127.0.0.1:59999/nowhere.png'", "nowhere.png|img-src"),
        ("setTimeout(found.evaluated)", "eval"),
        ("new Worker('data:text/javascript,1')", "data|worker-src"),
    ],
    ids=["console", "error", "image", "eval", "worker"],
)
@pytest.mark.sample(1)
def test_what_a_page_tells_fails_a_test(each_browser: Any, file: Path, script: str, told: str) -> None:
    caught = f"try {{ {script} }} catch (error) {{ setTimeout(() => {{ throw error; }}); }}"
    waiting = "await new Promise((done) => setTimeout(done, 300));"
    with (
        pytest.raises(AssertionError, match=told),
        opened(each_browser, file) as page,
    ):
        page.evaluate(f"async () => {{ {caught} {waiting} }}")


@pytest.mark.parametrize("address", ["http://127.0.0.1:59999/nowhere", "https://localhost:59999/nowhere"])
@pytest.mark.sample(1)
def test_a_request_of_a_page_without_a_policy_fails_a_test(each_browser: Any, tmp_path: Path, address: str) -> None:
    path = tmp_path / "open.html"
    path.write_text("<!doctype html><html data-ready><title>Test</title></html>", encoding="utf-8")
    with (
        pytest.raises(AssertionError, match=f"request: {address}"),
        opened(each_browser, path) as page,
    ):
        page.evaluate(f"fetch('{address}').catch(() => null)")
