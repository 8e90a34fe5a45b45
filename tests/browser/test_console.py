"""The browser's console stays empty, and no page asks another host: without runs, and while a run trains.

The walk of :mod:`tests.browser.test_accessibility` checks the same on every page with a trained run.
"""

import re
import shutil
from contextlib import ExitStack

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import list_all_pages
from tests.browser.test_main_job import settled
from tests.conftest import tiny_config
from tests.helpers.console import Console
from tests.pages.opening import router_pages
from vit import runs

pytestmark = pytest.mark.browser

WITHOUT_A_RUN = ("", "train", "runs", "attention", "anatomy")
"""The pages that look different without a run; Attention stands for all that ask for one."""
STEPS = 2
"""Steps of an epoch."""


def lines(step: int) -> list[dict]:
    """What a job writes after a step, and at the end of an epoch."""
    line = {"step": step, "epoch": 1 + (step - 1) // STEPS, "lr": 1e-3, "seconds": 2.0 * step}
    found = [{"event": "step", "loss": 1.6 / step, "images_per_second": 900.0, **line}]
    if step % STEPS == 0:
        scores = {"train_loss": 1.5, "val_loss": 1.6, "train_accuracy": 0.2, "val_accuracy": 0.3, "kept": True}
        found.append({"event": "epoch", **line, **scores})
    return found


def train_one_more_step(run: runs.Run) -> None:
    step = run.status.step + 1
    runs.append_metrics(run.path, lines(step))
    runs.update_status(run.path, step=step, epoch=step // STEPS)


def test_the_console_is_clean_without_runs_and_while_runs_train_wait_and_have_failed(home, workshop, page: Page):
    console = Console(page)  # one server for both: it takes longer to start than the pages take
    walk_without_a_run(page, console)
    shutil.copytree(workshop, home, dirs_exist_ok=True)
    watch_a_training(page, console)
    assert not console.findings, "\n".join(console.findings)


def walk_without_a_run(page: Page, console: Console) -> None:
    page.goto("/")
    list_all_pages(page)
    for one in (one for one in router_pages() if one.url_path in WITHOUT_A_RUN):
        console.at = f"/{one.url_path} without a run"
        page.get_by_test_id("stSidebarNavLink").get_by_text(one.title, exact=True).click()
        expect(page).to_have_title(f"{one.title} · Attention explorer")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        settled(page)


def watch_a_training(page: Page, console: Console) -> None:
    """Open the pages with curves while they grow, next to runs that wait and one that has failed without a step."""
    with ExitStack() as held:
        for name, state in {"failed": "failed", "live": "running", "next": "queued", "last": "queued"}.items():
            run = runs.create(name, tiny_config())
            runs.update_status(run.path, state=state, steps_total=20)
            if state in runs.ACTIVE:
                held.enter_context(runs.run_lock(run.path))
        live = runs.get_run("live")
        for path in ("train?show=Follow a run&run=failed", "train?run=live", "runs?runs=live&runs=tiny"):
            console.at = f"/{path}"
            page.goto(f"/{path}")
            settled(page)
            if path == "train?run=live":
                check_the_sidebar(page)
            # From no point of a curve to several; on Runs long enough for both clocks to tick in the same second.
            for _ in range(8 if path.startswith("runs") else 3):
                train_one_more_step(live)
                page.wait_for_timeout(700)
        expect(page.locator(".curves svg").first).to_be_visible()


def check_the_sidebar(page: Page) -> None:
    """Only the followed run is marked, and the waiting ones name the run ahead."""
    marked = {}
    for name in ("live", "next", "last"):
        link = page.locator("[class*=st-key-job_]").get_by_role("link", name=re.compile(rf"{name}$"))
        filled = link.evaluate("link => getComputedStyle(link).backgroundColor") != "rgba(0, 0, 0, 0)"
        weight = link.get_by_text(name, exact=True).evaluate("text => getComputedStyle(text).fontWeight")
        assert filled is (int(weight) > 500)
        marked[name] = filled
    assert marked == {"live": True, "next": False, "last": False}
    expect(page.get_by_test_id("stSidebar").get_by_text("next in the queue, after live")).to_be_visible()
    expect(page.get_by_test_id("stSidebar").get_by_text("number 2 in the queue, after next")).to_be_visible()
