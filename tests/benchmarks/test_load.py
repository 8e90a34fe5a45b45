"""Many simultaneous visitors: the client of the benchmark, shared models, bounded caches."""

import ast
import asyncio
import io
import os
import time
import weakref
from contextlib import contextmanager

import pytest
from PIL import Image

import streamlit_app
from benchmarks.app.clients import Client, Lost
from tests.helpers.serving import ROOT, serving
from tests.pages.opening import open_page
from vit import runs


@contextmanager
def pretended_work(run: runs.Run):
    """Act as the job of a run: hold its lock, and set its status to training."""
    with runs.run_lock(run.path).acquire(timeout=5):
        runs.update_status(run.path, state="running", pid=os.getpid(), message="Training.")
        try:
            yield
        finally:
            runs.update_status(run.path, state="finished", message="Finished all 2 epochs.")


async def until(condition, seconds: float) -> bool:
    """Wait for a condition, and return whether it became true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.05)
    return True


async def browse(address: str) -> list[str]:
    """Visit Attention, Predict and Evaluate, and return the problems."""
    client = Client(address)
    await client.open("attention", run="tiny", image="val-3", layer="2")
    assert client.find("number_input", label="Layer").proto.value == 2, "the link's layer"
    await client.set(client.find("number_input", label="Patch"), 5.0)
    assert "token=5" in client.query
    await client.click(client.find("button", label="Next"))
    assert client.find("text_input", label="Image").proto.value == "val-4"
    await client.go("predict", "run=tiny")
    await client.click(client.find("button", label="Sample images"))
    assert len(list(client.all("plotly_chart"))) == 4
    file = io.BytesIO()
    Image.new("RGB", (80, 60), (200, 30, 30)).save(file, "PNG")
    await client.upload(client.find("file_uploader"), "red.png", file.getvalue())
    assert len(list(client.all("plotly_chart"))) == 5
    assert await client.load_pictures() == 5
    await client.go("evaluate")
    await client.trigger(client.find("bidi_component"), "cell", [1, 3])
    assert client.find("selectbox", label="True class").proto.raw_value == "bus"
    with pytest.raises(Lost, match="no button"):
        client.find("button", label="Nothing of that name")
    await client.close()
    return client.problems


async def follow(address: str, run: runs.Run) -> list[str]:
    """Check that the Train page of a training run is idle without changes, and is redrawn soon after one."""
    client = Client(address)
    await client.open("train", run=run.name, show="Follow a run")
    chart = client.find("bidi_component", component_name="curves")
    ticks = client.finished
    assert await until(lambda: client.finished >= ticks + 2, 8), "the page looks for news"
    assert client.find("bidi_component", component_name="curves") is chart, "nothing is drawn anew without news"
    line = next(line for line in run.metrics()[0] if line["event"] == "step")
    runs.append_metrics(run.path, [line | {"step": 4321, "loss": 0.123}])
    told = time.monotonic()
    assert await until(lambda: any(one.proto.body == "0.123" for one in client.all("metric")), 8)
    assert time.monotonic() - told < 5
    assert await until(lambda: client.find("bidi_component", component_name="curves") is not chart, 8)
    await client.close()
    return client.problems


def test_a_session_opens_three_pages_and_a_followed_run_is_redrawn_only_after_changes(trained):
    with serving() as address:
        assert asyncio.run(browse(address)) == []
        run = runs.find_run("tiny")
        with pretended_work(run):
            assert asyncio.run(follow(address, run)) == []


def test_sessions_share_one_model_and_memory_mapped_images(trained, monkeypatch):
    from pages.ui import cached_models

    seen = []
    original = cached_models.load_model
    monkeypatch.setattr(cached_models, "load_model", lambda run: seen.append(original(run)) or seen[-1])
    for _ in range(2):
        open_page("attention", run="tiny", image="val-0")
    models = {id(model) for model, _ in seen}
    assert len(seen) >= 2
    assert len(models) == 1
    images = cached_models.validation(runs.find_run("tiny")).val.images
    assert images is cached_models.validation(runs.find_run("tiny")).val.images
    while images.base is not None and not hasattr(images, "filename"):
        images = images.base
    assert images.filename, "the images are a map of a file, not a copy in memory"


def cached_functions():
    """Return the cached functions of the pages: place, settings, whether they have arguments."""
    for path in sorted((ROOT / "pages").rglob("*.py")):
        tree = ast.parse(path.read_text())
        aliases = {
            node.targets[0].id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _is_cache(node.value)
        }
        for node in ast.walk(tree):
            for decorator in getattr(node, "decorator_list", []):
                maker = aliases.get(decorator.id, decorator) if isinstance(decorator, ast.Name) else decorator
                if _is_cache(maker):
                    settings = {one.arg for one in maker.keywords} if isinstance(maker, ast.Call) else set()
                    arguments = node.args
                    has_arguments = bool(arguments.args or arguments.kwonlyargs or arguments.vararg or arguments.kwarg)
                    yield f"{path.name}: {node.name}", settings, has_arguments


def _is_cache(node: ast.AST) -> bool:
    maker = node.func if isinstance(node, ast.Call) else node
    return isinstance(maker, ast.Attribute) and maker.attr in ("cache_data", "cache_resource")


def test_every_cache_is_bounded():
    found = list(cached_functions())
    assert len(found) > 15, "the search finds them"
    unbounded = [place for place, settings, arguments in found if arguments and "max_entries" not in settings]
    assert unbounded == []


def test_garbage_is_collected_once_for_all_sessions(monkeypatch):
    class Circle:
        pass

    circle = Circle()
    circle.itself = circle
    gone = weakref.ref(circle)
    monkeypatch.setattr(streamlit_app, "COLLECT_EVERY", 0.01)

    async def wait() -> bool:
        nonlocal circle
        task = asyncio.create_task(streamlit_app.collect_garbage())
        del circle
        try:
            return await until(lambda: gone() is None, 10)
        finally:
            task.cancel()

    assert asyncio.run(wait())
