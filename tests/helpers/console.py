"""What a browser reports about a page: messages on its console, and requests to other hosts."""

from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page


def of_a_page_that_was_left(url: str) -> bool:
    """Whether a URL is that of an image of a page.

    Streamlit deletes these when the next page is shown, while the browser may still be fetching them.
    """
    return urlsplit(url).path.startswith("/media/")


class Console:
    """Everything that a page of the app must not do in the browser, from now on.

    Attributes:
        at: the part of the test that the next findings belong to.
        findings: warnings, errors, failures of scripts and requests to other hosts, each with where it happened.
    """

    def __init__(self, page: Page) -> None:
        self.at, self.findings = "", []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self._note(f"error in a script: {error}"))
        page.on("request", lambda request: self._check_host(page, request.url))
        page.on("websocket", lambda socket: self._check_host(page, socket.url))

    def _hear(self, message: ConsoleMessage) -> None:
        said = f"{message.text} at {message.location['url']}"
        if "404" in message.text and of_a_page_that_was_left(message.location["url"]):
            return
        if message.type in ("warning", "error"):
            self._note(f"{message.type}: {said}")

    def _check_host(self, page: Page, url: str) -> None:
        target, own = urlsplit(url), urlsplit(page.url)
        if target.scheme in ("http", "https", "ws", "wss") and own.netloc and target.netloc != own.netloc:
            self._note(f"request to another host: {url}")

    def _note(self, finding: str) -> None:
        self.findings.append(f"{self.at}: {finding}"[:600])
