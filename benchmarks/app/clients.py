"""A headless client that speaks Streamlit's protocol over a real websocket, like Streamlit's code in the browser.

It fetches the cookies, sends reruns with the state of all widgets, resolves messages that refer to an earlier one by
hash, runs the timers of fragments, uploads files, and loads the images that a page shows. It draws nothing.
"""

import asyncio
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.app.widget_values import INITIAL, event_state, widget_state

PATIENCE = 60.0
"""Seconds after which a missing answer counts as lost."""
XSRF_COOKIE = "_streamlit_xsrf"
FULL, FRAGMENT = ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY

_requests = count(1)
Timers = dict[str, tuple[float, asyncio.Task]]
"""Repeating tasks by name, with their intervals in seconds."""


class Lost(Exception):
    """Raised when the page does not answer, or lacks an expected element."""


class Shown:
    """An element on the page: its kind, its fields, and the fragment and run that drew it."""

    def __init__(self, element: Any, fragment: str, run: str) -> None:
        self.kind = element.WhichOneof("type")
        self.proto = getattr(element, self.kind)
        self.fragment, self.run = fragment, run

    @property
    def id(self) -> str:
        """The id of a widget; empty for other elements."""
        return getattr(self.proto, "id", "")


class Client:
    """One tab of one browser.

    Attributes:
        address: address of the server, such as ``http://127.0.0.1:8501``.
        problems: exceptions and error boxes on the page, lost answers, missing images, as sentences.
        shown: the elements on the page by position.
        finished: number of finished script runs, including those of timers.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.problems: list[str] = []
        self.shown: dict[tuple[int, ...], Shown] = {}
        self.query = ""
        self.finished = 0
        self._values: dict[str, WidgetState] = {}
        self._pages: dict[str, str] = {}  # path -> hash
        self._page = self._session = self._run = ""
        self._sent = 0
        self._begun: dict[str, tuple[int, frozenset[str]]] = {}  # run -> requests sent before it, its fragments
        self._cache: dict[str, tuple[ForwardMsg, int]] = {}
        self._cache_age = 2
        self._timers: Timers = {}  # of fragments
        self._clocks: Timers = {}  # of components
        self._waiting: tuple[int, str, asyncio.Future] | None = None
        self._interrupted = False
        self._file_urls: dict[str, asyncio.Future] = {}
        self._seen: set[str] = set()
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task | None = None
        self._http = httpx.AsyncClient(base_url=address, verify=False, timeout=PATIENCE)

    # Actions of a visitor

    async def open(self, path: str = "", **query: str) -> float:
        """Open a link in a new tab, and return the seconds until the page is complete."""
        begin = time.perf_counter()
        for url in (f"/{path}", "/_stcore/health", "/_stcore/host-config"):
            answer = await self._fetch(url)
            if answer.status_code != 200:
                raise Lost(f"{url} was answered with {answer.status_code}")
        cookies = "; ".join(f"{name}={value}" for name, value in self._http.cookies.items())
        self._socket = await connect(
            f"ws://{urlsplit(self.address).netloc}/_stcore/stream",
            subprotocols=["streamlit", self._http.cookies[XSRF_COOKIE]],
            origin=self.address,
            additional_headers={"Cookie": cookies},
            max_size=None,
            ping_interval=None,
            open_timeout=PATIENCE,
        )
        self._reader = asyncio.create_task(self._read())
        self.query = urlencode(query)
        await self._rerun(page_name=path)
        return time.perf_counter() - begin

    async def go(self, path: str, query: str = "") -> float:
        """Go to another page of the app, and return the seconds until it is complete."""
        if path not in self._pages:
            raise Lost(f"there is no page {path!r}")
        self._stop_all()
        self._values.clear()
        self.shown.clear()
        self.query, self._page = query, self._pages[path]
        return await self._rerun(page_hash=self._page)

    async def set(self, widget: Shown, value: Any) -> float:
        """Set a widget to a number, a text, a Boolean or a list of texts."""
        self._values[widget.id] = widget_state(widget.id, widget.kind, value)
        if key := getattr(widget.proto, "query_param_key", ""):
            pairs = [pair for pair in self.query.split("&") if pair and not pair.startswith(f"{key}=")]
            texts = value if isinstance(value, list) else [f"{value:g}" if isinstance(value, float) else value]
            self.query = "&".join([*pairs, *(urlencode({key: text}) for text in texts)])
        return await self._rerun(fragment=widget.fragment)

    async def click(self, button: Shown) -> float:
        return await self._rerun(WidgetState(id=button.id, trigger_value=True), fragment=button.fragment)

    async def trigger(self, component: Shown, event: str, value: Any) -> float:
        """Send an event of a JavaScript component."""
        return await self._rerun(event_state(component.id, event, value), fragment=component.fragment)

    async def upload(self, uploader: Shown, name: str, content: bytes | Path) -> float:
        """Upload bytes or a file, and return the seconds until the page has processed it."""
        begin = time.perf_counter()
        asked = f"urls-{next(_requests)}"
        self._file_urls[asked] = asyncio.get_running_loop().create_future()
        message = BackMsg()
        message.file_urls_request.request_id, message.file_urls_request.session_id = asked, self._session
        message.file_urls_request.file_names.append(name)
        await self._send(message)
        try:
            urls = await asyncio.wait_for(self._file_urls[asked], PATIENCE)
        except TimeoutError:
            raise Lost("the server named no place for the upload") from None
        finally:
            del self._file_urls[asked]
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as file:
            token = {"X-Xsrftoken": self._http.cookies[XSRF_COOKIE]}
            answer = await self._fetch(urls.upload_url, "PUT", files={"file": (name, file)}, headers=token)
        if answer.status_code >= 300:
            raise Lost(f"the upload was answered with {answer.status_code}")
        state = WidgetState(id=uploader.id)
        info = state.file_uploader_state_value.uploaded_file_info.add(name=name, size=size)
        info.file_id = urls.file_id
        info.file_urls.CopyFrom(urls)
        self._values[uploader.id] = state
        await self._rerun(fragment=uploader.fragment)
        return time.perf_counter() - begin

    async def close(self) -> None:
        self._stop_all()
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        if self._socket is not None:
            await self._socket.close()
        await self._http.aclose()

    # The content of the page

    def all(self, kind: str, **fields: Any) -> Iterator[Shown]:
        """Yield the elements of a kind with these field values, from top to bottom."""
        for place in sorted(self.shown):
            one = self.shown[place]
            if one.kind == kind and all(getattr(one.proto, name) == value for name, value in fields.items()):
                yield one

    def find(self, kind: str, **fields: Any) -> Shown:
        """Return the first element of :meth:`all`.

        Raises:
            Lost: there is no such element.
        """
        for one in self.all(kind, **fields):
            return one
        raise Lost(f"there is no {kind} with {fields} on {self.query or 'the page'}")

    async def load_pictures(self) -> int:
        """Load the images on the page that this client has not loaded before, and return their number."""
        urls = {image.url for one in self.all("imgs") for image in one.proto.imgs if image.url.startswith("/media/")}
        fresh = urls - self._seen
        for url in fresh:
            answer = await self._fetch(url)
            if answer.status_code != 200:
                still = {image.url for one in self.all("imgs") for image in one.proto.imgs}
                if url in still:  # otherwise the page has changed since
                    self.problems.append(f"picture {url} was answered with {answer.status_code}")
        self._seen |= fresh
        return len(fresh)

    # The protocol

    async def _fetch(self, url: str, method: str = "GET", **content: Any) -> httpx.Response:
        """Send a request; retry once, like a browser, if the server was just closing the idle connection."""
        for last in (False, True):
            try:
                return await self._http.request(method, url, **content)
            except httpx.TransportError as error:
                if last:
                    raise Lost(f"{url} was not answered: {error!r}") from None
        raise AssertionError

    async def _rerun(self, *events: WidgetState, fragment: str = "", page_name: str = "", page_hash: str = "") -> float:
        """Request a run of the script or of a fragment, and return the seconds until it has finished."""
        future = asyncio.get_running_loop().create_future()
        begin = time.perf_counter()
        message = self._rerun_message(*events, fragment=fragment, page_name=page_name, page_hash=page_hash)
        self._sent += 1
        self._waiting = (self._sent, fragment, future)
        await self._send(message)
        try:
            await asyncio.wait_for(future, PATIENCE)
        except TimeoutError:
            raise Lost(f"no answer within {PATIENCE:.0f} s") from None
        finally:
            self._waiting = None
        return time.perf_counter() - begin

    def _rerun_message(self, *events: WidgetState, fragment: str, page_name: str = "", page_hash: str = "") -> BackMsg:
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.fragment_id = self.query, fragment
        state.page_name, state.page_script_hash = page_name, page_hash or self._page
        state.widget_states.widgets.extend([*self._values.values(), *events])
        state.cached_message_hashes.extend(self._cache)
        state.context_info.timezone, state.context_info.locale = "UTC", "en"
        state.context_info.url, state.context_info.color_scheme = self.address, "light"
        return message

    async def _send(self, message: BackMsg) -> None:
        if self._socket is None:
            raise Lost("the page was not opened")
        try:
            await self._socket.send(message.SerializeToString())
        except ConnectionClosed as error:
            raise Lost(f"the server hung up: {error}") from None

    async def _read(self) -> None:
        """Process the server's messages until the connection closes."""
        assert self._socket is not None
        try:
            async for data in self._socket:
                self._take(ForwardMsg.FromString(data))
            reason = "the server hung up"
        except ConnectionClosed as error:
            reason = f"the server hung up: {error}"
        self._stop_all()
        if self._waiting is None:
            self.problems.append(reason)
        elif not self._waiting[2].done():
            self._waiting[2].set_exception(Lost(reason))

    def _take(self, message: ForwardMsg) -> None:
        if message.WhichOneof("type") == "ref_hash":
            if message.ref_hash not in self._cache:
                self.problems.append("the server referred to a message that this client does not have")
                return
            whole = ForwardMsg()
            whole.CopyFrom(self._cache[message.ref_hash][0])
            whole.metadata.CopyFrom(message.metadata)
            self._cache[message.ref_hash] = (self._cache[message.ref_hash][0], self.finished)
            message = whole
        elif message.metadata.cacheable:
            self._cache[message.hash] = (message, self.finished)
        match message.WhichOneof("type"):
            case "new_session":
                self._begin(message)
            case "navigation":
                self._pages = {page.url_pathname: page.page_script_hash for page in message.navigation.app_pages}
                self._page = message.navigation.page_script_hash
            case "delta":
                self._draw(message)
            case "page_info_changed":
                self.query = message.page_info_changed.query_string
            case "auto_rerun":
                self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            case "stop_auto_rerun":
                self._stop(self._timers, *message.stop_auto_rerun.fragment_ids)
            case "file_urls_response":
                future = self._file_urls.get(message.file_urls_response.response_id)
                if future is not None:
                    future.set_result(message.file_urls_response.file_urls[0])
            case "script_finished":
                self._finish(message)

    def _begin(self, message: ForwardMsg) -> None:
        session, run = message.new_session, message.metadata.run
        self._session = session.initialize.session_id
        self._cache_age = session.config.max_cached_message_age
        self._run = run.script_run_id
        self._begun[run.script_run_id] = (self._sent, frozenset(run.fragment_ids))
        # A timer's run that begins before the end of another fragment's run was sent marks that run as interrupted,
        # although it finished. A fragment that was really interrupted is run again, or the whole page is.
        if self._interrupted and self._waiting and run.fragment_ids and self._waiting[1] not in run.fragment_ids:
            self._answered()
        self._interrupted = False
        if not run.fragment_ids:
            self._stop(self._timers, *self._timers.copy())
            if self._page and session.page_script_hash != self._page:
                self.shown.clear()
            self._page = session.page_script_hash

    def _draw(self, message: ForwardMsg) -> None:
        place, delta = tuple(message.metadata.delta_path), message.delta
        if delta.WhichOneof("type") != "new_element":
            self.shown.pop(place, None)
            return
        one = self.shown[place] = Shown(delta.new_element, delta.fragment_id, self._run)
        if one.kind == "exception" and not one.proto.is_warning:
            self.problems.append(f"{one.proto.type}: {one.proto.message}")
        elif one.kind == "alert" and one.proto.format == one.proto.ERROR:
            self.problems.append(f"error box: {one.proto.body}")
        elif one.kind == "bidi_component" and one.proto.component_name.endswith("clock"):
            self._start_clock(one)
        elif one.kind in INITIAL and (one.id not in self._values or getattr(one.proto, "set_value", False)):
            value = INITIAL[one.kind](one.proto)
            if value is not None:
                self._values[one.id] = widget_state(one.id, one.kind, value)

    def _finish(self, message: ForwardMsg) -> None:
        run = message.metadata.run.script_run_id
        after, fragments = self._begun.pop(run, (0, frozenset()))
        self.finished += 1
        mine = (
            self._waiting is not None and after >= self._waiting[0] and (not fragments or self._waiting[1] in fragments)
        )
        if message.script_finished not in (FULL, FRAGMENT):
            self._interrupted = mine and bool(fragments)
            return
        for place, one in list(self.shown.items()):  # elements that this run did not draw again
            if one.run != run and (not fragments or one.fragment in fragments):
                del self.shown[place]
        ids = {one.id for one in self.shown.values()}
        self._stop(self._clocks, *(name for name in self._clocks.copy() if name not in ids))
        self._values = {key: value for key, value in self._values.items() if key in ids}
        self._cache = {key: entry for key, entry in self._cache.items() if self.finished - entry[1] <= self._cache_age}
        if mine:
            self._answered()

    def _answered(self) -> None:
        if self._waiting is not None and not self._waiting[2].done():
            self._waiting[2].set_result(None)

    def _start_timer(self, fragment: str, interval: float) -> None:
        def rerun() -> BackMsg:
            message = self._rerun_message(fragment=fragment)
            message.rerun_script.is_auto_rerun = True
            return message

        self._repeat(self._timers, fragment, interval, rerun)

    def _start_clock(self, clock: Shown) -> None:
        """Do the same as the JavaScript of :mod:`pages.ui.polling`."""

        def tick() -> BackMsg | None:
            if self._waiting is not None or self._begun:  # the script runs
                return None
            return self._rerun_message(event_state(clock.id, "tick", True), fragment=clock.fragment)

        self._repeat(self._clocks, clock.id, json.loads(clock.proto.json)["seconds"], tick)

    def _repeat(self, timers: Timers, name: str, interval: float, message: Callable[[], BackMsg | None]) -> None:
        async def repeat() -> None:
            while True:
                await asyncio.sleep(interval)
                if (due := message()) is not None:
                    with suppress(Lost):  # the reader reports it
                        await self._send(due)

        if name in timers:
            if timers[name][0] == interval:
                return
            timers.pop(name)[1].cancel()
        timers[name] = (interval, asyncio.create_task(repeat()))

    def _stop_all(self) -> None:
        self._stop(self._timers, *self._timers.copy())
        self._stop(self._clocks, *self._clocks.copy())

    def _stop(self, timers: Timers, *names: str) -> None:
        for name in names:
            if name in timers:
                timers.pop(name)[1].cancel()
