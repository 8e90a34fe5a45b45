"""A demo bounds what comes from one internet address; a proxy's header counts only if it is configured."""

import asyncio

import pytest
from starlette.requests import HTTPConnection

from pages import access
from pages.access import identity
from pages.access import runs as access_runs
from pages.server import limits, secrets
from pages.server.addresses import ADDRESS_HEADER, PROXIED, pass_on, visitor_address
from pages.server.demo_middleware import DemoMiddleware
from pages.server.limits import DemoLimits
from tests.conftest import tiny_config
from vit import runs
from vit.errors import RunError
from vit.jobs import queue
from vit.sweeps.config import SweepConfig


def connection(client: str, **headers: str) -> HTTPConnection:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "websocket", "path": "/_stcore/stream", "client": (client, 1), "headers": pairs})


@pytest.mark.parametrize(
    ("client", "headers", "header", "address"),
    [
        ("198.51.100.7", {}, "", "198.51.100.7"),
        ("127.0.0.1", {}, "", "127.0.0.1"),
        ("198.51.100.7", {"x_forwarded_for": "203.0.113.1"}, "", "198.51.100.7"),  # a visitor's own header
        ("203.0.113.1", {"x_forwarded_for": "203.0.113.1"}, "", PROXIED),  # uvicorn has put it there
        ("203.0.113.1", {"x_forwarded_for": "203.0.113.1:4444"}, "", PROXIED),
        ("127.0.0.1", {"x_real_ip": "203.0.113.1"}, "", "127.0.0.1"),
        ("127.0.0.1", {"x_real_ip": "203.0.113.1"}, "X-Real-IP", "203.0.113.1"),
        ("127.0.0.1", {"x_forwarded_for": "1.1.1.1, 203.0.113.1"}, "X-Forwarded-For", "203.0.113.1"),
        ("127.0.0.1", {"x_forwarded_for": "nonsense"}, "X-Forwarded-For", PROXIED),
        ("127.0.0.1", {}, "X-Forwarded-For", PROXIED),
        ("2001:db8:1:2:3:4:5:6", {}, "", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", {}, "", "198.51.100.7"),
    ],
)
def test_the_address_of_a_visitor(client, headers, header, address):
    assert visitor_address(connection(client, **headers), header) == address


def test_a_page_is_given_the_mark_and_not_what_the_browser_says(monkeypatch):
    monkeypatch.setenv(limits.SWITCH, "1")
    marks = set()
    for forged in ("a", "b"):
        one = connection("198.51.100.7", x_vit_address=forged)
        pass_on(one)
        marks.add(HTTPConnection(one.scope).headers[ADDRESS_HEADER])
        assert HTTPConnection(one.scope).headers.getlist(ADDRESS_HEADER) == [*marks]
    assert "198.51" not in next(iter(marks))


def test_the_metrics_are_closed_on_a_demo(monkeypatch):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def status(path: str) -> int:
        found = []

        async def send(message):
            if message["type"] == "http.response.start":
                found.append(message["status"])

        scope = {"type": "http", "method": "GET", "path": path, "headers": []}
        asyncio.run(DemoMiddleware(app)(scope, None, send))
        return found[0]

    paths = ("/_stcore/metrics", "/base/_stcore/metrics", "/_stcore/metrics/")
    assert [status(path) for path in paths] == [200] * 3
    monkeypatch.setenv(limits.SWITCH, "1")
    assert [status(path) for path in paths] == [404] * 3
    assert status("/_stcore/health") == 200


# Runs of one address


@pytest.fixture
def demo(home, monkeypatch):
    """A demo whose jobs wait for ever; call it with a cookie and an address to be that visitor."""
    monkeypatch.setenv(limits.SWITCH, "1")
    table: dict = {}
    monkeypatch.setattr(secrets, "table", lambda name: table if name == "demo" else None)
    monkeypatch.setattr(access_runs, "_addresses", {})
    monkeypatch.setattr(access_runs.jobs, "start", lambda config, name=None: runs.create(name, config))

    def as_(cookie: str, address: str) -> dict:
        monkeypatch.setattr(identity, "visitor_mark", lambda cookies: cookie * 32)
        monkeypatch.setattr(identity, "mark_of_page", lambda headers: address)
        return table

    return as_


def test_new_cookies_of_one_address_share_its_part_of_the_queue(demo):
    started, refusals = 0, []
    for letter in "ABCDEFGH":
        demo(letter, "here")
        for _ in range(2):
            try:
                access.start(tiny_config())
                started += 1
            except RunError as error:
                refusals.append(str(error))
    assert len(refusals) == 12
    assert all("4 runs at a time from one internet address" in refusal for refusal in refusals)
    assert access.room() == 0
    assert "internet address" in access.why_no_room()
    assert started == DemoLimits().queue // 2
    demo("I", "elsewhere")
    assert access.room() == 4
    access.start(tiny_config())


def test_the_part_of_an_address_is_free_again_when_its_runs_end(demo):
    demo("A", "here")["queue_per_address"] = 1
    run = access.start(tiny_config())
    demo("B", "here")
    with pytest.raises(RunError, match="1 runs at a time from one internet address"):
        access.start(tiny_config())
    runs.update_status(run.path, state="finished")
    access.start(tiny_config())


def test_a_visitor_without_a_known_address_has_a_bound_too(demo):
    demo("A", "")["queue_per_address"] = 1
    access.start(tiny_config())
    with pytest.raises(RunError, match="from one internet address"):
        access.start(tiny_config())
    demo("B", "")
    access.start(tiny_config())


# Names of others' runs


def test_no_name_of_another_visitors_run_is_confirmed(demo):
    demo("A", "there")
    access.start(tiny_config(), "secret")
    other = access.start(tiny_config(), "secret-sweep-h2-d1-s0")
    assert other.name == "secret-sweep-h2-d1-s0"
    demo("B", "here")
    assert not access.is_taken("secret")
    mine = access.start(tiny_config(), "secret")
    assert mine.name.startswith("secret-")
    assert runs.find_run("secret").config.owner != mine.config.owner
    own = access.start(tiny_config(), "own")
    with pytest.raises(RunError, match="There is already a run 'own'"):  # one's own is named
        access.start(tiny_config(), "own")
    for run in (mine, own):
        runs.update_status(run.path, state="finished")
    assert access.rename(own, "secret").name.startswith("secret-")
    sweep = SweepConfig(name="secret-sweep", base=tiny_config(), heads=(2,), depths=(1,), seeds=(0,))
    (run,) = access.start_sweep(sweep)
    assert run.name.startswith("secret-sweep-h2-d1-s0-")
    assert run.config.sweep


# Turns


def test_visitors_wait_in_turn(home, monkeypatch):
    def queued(name: str, owner: str, ticket: int, state: str = "queued") -> runs.Run:
        run = runs.create(name, tiny_config().model_copy(update={"owner": owner * 32}))
        runs.update_status(run.path, state=state, ticket=ticket)
        return run

    monkeypatch.setattr(runs.Run, "status", property(lambda run: runs.read_status(run.path)))
    for number in range(4):
        queued(f"a{number}", "a", number + 1)
    queued("b0", "b", 10)
    queued("b1", "b", 11)
    queued("c0", "c", 12)

    def order() -> list[str]:
        return sorted(queue.positions(), key=queue.positions().get)

    assert order() == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]
    runs.update_status(runs.find_run("a0").path, state="running")
    assert order() == ["b0", "c0", "a1", "b1", "a2", "a3"]
    runs.update_status(runs.find_run("a0").path, state="finished")
    runs.update_status(runs.find_run("b0").path, state="running")
    assert order() == ["a1", "c0", "a2", "b1", "a3"]
    first = [
        run.name
        for run in runs.list_runs()
        if run.state == "queued" and queue._is_first(run, run.status) and queue._last_of_owner(run, run.status) is None
    ]
    assert first == ["a1"]


def test_without_owners_only_the_tickets_count(home, monkeypatch):
    monkeypatch.setattr(runs.Run, "status", property(lambda run: runs.read_status(run.path)))
    for name, ticket in (("c", 3), ("a", 1), ("b", 2)):
        run = runs.create(name, tiny_config())
        runs.update_status(run.path, state="queued", ticket=ticket)
    assert queue.positions() == {"a": 1, "b": 2, "c": 3}
