"""The files with which a browser runs a network: whole, kept by the browser, and nothing else is served."""

import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from pages.server.live_files import LiveFilesMiddleware, files, folder
from vit.exports.web_page.build import modules


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(middleware=[Middleware(LiveFilesMiddleware)]))


@pytest.mark.parametrize("base", ["", "/behind/a/proxy"])
def test_a_module_is_served_as_in_an_exported_page_and_kept(client, base):
    answer = client.get(f"{base}/{folder()}/engine.js")
    assert answer.status_code == 200
    assert answer.content == modules()["engine"]
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]


def test_the_runtime_is_webassembly(client):
    answer = client.get(f"/{folder()}/runtime.wasm")
    assert answer.headers["content-type"] == "application/wasm"
    assert answer.content[:4] == b"\0asm"


def test_modules_import_each_other_by_address(client):
    for name in files():
        if name.endswith(".js") and name != "runtime.js":
            for imported in re.findall(r'from "(.*?)"', client.get(f"/{folder()}/{name}").text):
                assert imported.startswith("./")
                assert client.get(f"/{folder()}/{imported}").status_code == 200


@pytest.mark.parametrize(
    "name", ["app.js", "runtime.mjs", "../../streamlit_app.py", "..%2f..%2fREADME.md", "engine.js/"]
)
def test_nothing_else_is_served(client, name):
    assert client.get(f"/{folder()}/{name}").status_code == 404
