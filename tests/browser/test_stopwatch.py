"""The stopwatch of the benchmarks, on a page that changes after a known time."""

from urllib.parse import quote

import pytest

from benchmarks.app.stopwatch import COMPLETE, SHOWN, Watch, open_page, settle, timed

PAGE = """<div data-test-script-state="notRunning"></div>
<div data-testid="stMain"><h1>Before</h1><div data-testid="stBidiComponentIsolated"></div><button>Go</button></div>
<script>
  const [app, main] = document.querySelectorAll("div")
  const tree = document.querySelector("[data-testid=stBidiComponentIsolated]").attachShadow({mode: "open"})
  document.querySelector("button").onclick = () => {
    app.dataset.testScriptState = "running"
    document.querySelector("h1").textContent = "After"
    setTimeout(() => (tree.innerHTML = "<canvas></canvas>"), 150)
    setTimeout(() => (app.dataset.testScriptState = "notRunning"), 300)
  }
</script>"""


@pytest.fixture
def page(chromium):
    page = open_page(chromium)
    page.goto(f"data:text/html,{quote(PAGE)}")
    yield page
    page.context.close()


def test_a_watch_ends_with_the_figure_in_a_component_and_with_the_end_of_the_script(page):
    before = settle(page)
    canvases = "stopwatch.find('canvas').length"
    times = timed(page, page.get_by_role("button").click, {"drawn": canvases, "shown": SHOWN})
    assert 150 <= times["drawn"] < times["shown"]
    assert times["shown"] >= 300
    assert page.evaluate(f"() => {SHOWN}") != before


def test_of_several_presses_the_last_one_counts_and_a_named_value_is_waited_for(page):
    def act():
        page.mouse.click(5, 400)
        page.wait_for_timeout(500)
        page.get_by_role("button").click()

    heading = "document.querySelector('h1').textContent"
    times = timed(page, act, {"heading": Watch(heading, "After")})
    assert times["heading"] < 500


def test_a_page_is_complete_at_its_last_change_before_it_rests(page):
    settle(page)
    page.evaluate("() => setTimeout(() => tree.append(document.createElement('canvas')), 10_000)")  # too late
    late = "setTimeout(() => tree.append(document.createElement('canvas')), 1500)"
    page.evaluate(f"() => document.querySelector('button').addEventListener('click', () => {{ {late} }})")
    times = timed(page, page.get_by_role("button").click, {"first": SHOWN, "complete": COMPLETE})
    assert 300 <= times["first"] < 1500 <= times["complete"] < 4000
