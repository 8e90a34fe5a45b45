"""Who may come in where the server asks for a sign-in: the rules, and what is closed to who has not signed in."""

import http.client
import json
import logging
import tomllib
from urllib.parse import urlsplit

import pytest
import streamlit as st
from starlette.requests import HTTPConnection
from streamlit import config
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from pages import sign_in
from pages.server import sign_in_middleware, sign_in_rules
from pages.server.sign_in_rules import SignIn
from tests.helpers.openid import write_secrets
from tests.helpers.serving import serving
from tests.helpers.tabs import XSRF, tab, xsrf_token
from tests.pages.opening import open_page
from vit.errors import SettingsError

COOKIE = "_streamlit_user"
PROVIDER = "http://127.0.0.1:9"
CLAIMS = {"iss": PROVIDER, "sub": "1", "provider": "default", "email": "ada@uni.example", "email_verified": True}


@pytest.fixture
def secrets(tmp_path):
    """A function that gives the program of this process another secrets file."""
    before = config.get_option("secrets.files")

    def write(text: str) -> None:
        path = tmp_path / "secrets.toml"
        path.write_text(text)
        config.set_option("secrets.files", [str(path)])
        st.secrets._reset()
        sign_in._tell_operator.cache_clear()

    yield write
    config.set_option("secrets.files", before)
    st.secrets._reset()


@pytest.fixture
def auth(tmp_path) -> str:
    """The text of secrets that work."""
    return write_secrets(tmp_path / "auth.toml", PROVIDER).read_text()


# The rules


def test_without_secrets_there_is_no_sign_in(tmp_path, secrets):
    secrets("")
    assert sign_in_rules.required() is None
    config.set_option("secrets.files", [str(tmp_path / "none.toml")])
    st.secrets._reset()
    assert sign_in_rules.required() is None
    assert not sign_in_rules.is_required()


def test_a_sign_in_may_be_with_one_provider_or_with_several(secrets, auth):
    secrets(auth)
    assert sign_in_rules.required() == SignIn()
    assert sign_in_rules.providers() == ["default"]
    another = "[auth.microsoft]\nclient_id = 'a'\nclient_secret = 'b'\nserver_metadata_url = 'https://c.example'\n"
    secrets(auth + another)
    assert sign_in_rules.providers() == ["default", "microsoft"]
    shared = "\n".join(line for line in auth.splitlines() if not line.startswith(("client", "server")))
    secrets(shared + "\n" + another + "[sign_in]\nvouched = ['microsoft']\n")
    assert sign_in_rules.providers() == ["microsoft"]
    assert sign_in_rules.required() == SignIn(vouched=("microsoft",))


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda text: text + "[auth", "cannot be read"),
        (lambda text: text.replace("[auth]", "auth = 1\n[rest]"), "is not a table"),
        (lambda text: "[auth]\n", "no provider"),
        (lambda text: text.replace("[auth]", "[authentication]") + "[sign_in]\nallowed = []\n", "no [auth]"),
        (lambda text: text.replace("client_secret", "secret"), "client_secret"),
        (lambda text: text.replace("cookie_secret", "cookie"), "cookie_secret"),
        (lambda text: text.replace('cookie_secret = "', 'cookie_secret = "short" # "'), "32 random characters"),
        (lambda text: text.replace("/oauth2callback", "/"), "oauth2callback"),
        (lambda text: text + "[sign_in]\nallow = ['a@b.example']\n", "allow"),
        (lambda text: text + "[sign_in]\nallowed = '*@uni.example'\n", "allowed"),
        (lambda text: text + "[sign_in]\nvouched = ['gogle']\n", "gogle"),
        (lambda text: text + "[auth.my_own]\nclient_id = 'a'\n", "underscore"),
        (lambda text: text + "[demo]\nepoch = 3\n", "epoch"),
    ],
)
def test_what_cannot_be_read_or_cannot_work_closes_the_server(secrets, auth, home, caplog, break_it, sentence):
    secrets(break_it(auth))
    assert sign_in_rules.is_required()  # for the files and uploads too
    with caplog.at_level(logging.ERROR):
        app = open_page("runs", run="x")
    assert [error.value for error in app.error] == [sign_in.CLOSED]
    assert [title.value for title in app.title] == ["Attention explorer"]
    assert not app.button
    assert not app.sidebar.children
    (record,) = (record for record in caplog.records if record.name == sign_in.__name__)
    assert sentence in record.getMessage()
    assert "\n" not in record.getMessage()


def test_without_authlib_the_server_stays_closed(secrets, auth, monkeypatch):
    secrets(auth)
    monkeypatch.setattr(sign_in_rules, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="pip install"):
        sign_in_rules.required()


@pytest.mark.parametrize(
    ("claims", "rules", "sentence"),
    [
        ({}, {}, ""),
        ({"email": None, "email_verified": None}, {}, ""),  # no list: every account of the provider
        ({}, {"allowed": ("*@uni.example",)}, ""),
        ({"email": "ADA@Uni.Example"}, {"allowed": ("Ada@*",)}, ""),
        ({"email_verified": "true"}, {"allowed": ("*@uni.example",)}, ""),  # as Cognito says it
        ({}, {"allowed": ()}, "not on the list"),
        ({}, {"allowed": ("*@elsewhere.example", "bob@uni.example")}, "not on the list"),
        ({"email": "ada@uni.example.evil.example"}, {"allowed": ("*@uni.example",)}, "not on the list"),
        ({"email": ["ada@uni.example"]}, {"allowed": ("ada@uni.example",)}, "not on the list"),
        ({"email": ""}, {"allowed": ("*",)}, "does not give this server your e-mail"),
        ({"email_verified": False}, {"allowed": ("*",)}, "not verified"),
        ({"email_verified": "false"}, {"allowed": ("*",)}, "not verified"),
        ({"email_verified": None}, {"allowed": ("*",)}, "not verified"),
        ({"email_verified": None}, {"allowed": ("*",), "vouched": ("default",)}, ""),
        ({"email_verified": False}, {"allowed": ("*",), "vouched": ("default",)}, "not verified"),
        ({"provider": "gone"}, {}, "no longer uses"),
        ({"sub": ""}, {}, "no longer uses"),
        ({"iss": None}, {}, "no longer uses"),
    ],
)
def test_who_may_come_in(secrets, auth, claims, rules, sentence):
    secrets(auth)
    refusal = sign_in_rules.refusal(CLAIMS | claims, SignIn(**rules))
    assert sentence in refusal
    assert bool(sentence) == bool(refusal)


@pytest.mark.parametrize(
    ("referer", "link"),
    [
        ("http://localhost:8501/attention?run=a&token=3", "/attention?run=a&token=3"),
        ("http://localhost:8501/", "/"),
        ("http://evil.example/attention", "/"),
        ("http://localhost:8501//evil.example/", "/"),
        ("http://localhost:8501/\\evil.example/", "/"),
        ("http://localhost:8501/" + "a" * 3000, "/"),
        ("", "/"),
    ],
)
def test_the_way_back_leads_to_this_server_only(referer, link):
    headers = [(b"host", b"localhost:8501"), (b"referer", referer.encode())]
    request = HTTPConnection({"type": "http", "path": "/auth/login", "headers": headers})
    assert sign_in_middleware._link_of_page(request) == link


# A server with sign-in, and a visitor who has not signed in


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server that lets in ada@uni.example, and the secret with which it signs its cookies."""
    folder = tmp_path_factory.mktemp("closed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIT_CHECKPOINTS", str(folder / "checkpoints"))
        patch.setenv("VIT_DATA", str(folder / "data"))
        path = write_secrets(folder / "secrets.toml", PROVIDER, sign_in='allowed = ["ada@uni.example"]')
        with serving(secrets=path) as address:
            yield address, tomllib.loads(path.read_text())["auth"]["cookie_secret"]


def signed(address: str, secret: str, **claims) -> str:
    """The cookie of a sign-in, as Streamlit sets it."""
    user = CLAIMS | {"is_logged_in": True, "origin": address} | claims
    return create_signed_value(secret, COOKIE, json.dumps(user)).decode()


def ask(address: str, method: str, path: str, cookies: dict[str, str], token: str = "") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    connection.request(method, path, headers={"Cookie": header, "X-Xsrftoken": token})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


@pytest.mark.parametrize("page", ["", "attention"])
def test_a_websocket_without_a_sign_in_gets_the_sign_in_page_and_nothing_else(server, page):
    address, secret = server
    forged = signed(address, "some other secret of thirty-two characters")
    elsewhere = signed("http://evil.example", secret)
    for cookies in ({}, {COOKIE: forged}, {COOKIE: elsewhere}):
        with tab(address, page, cookies=cookies) as seen:
            assert sorted(set(seen.elements)) == ["button", "heading", "markdown"]
            assert seen.elements.count("button") == 1
            assert b"Sign in" in seen.drawn
            assert b"CPU" not in seen.drawn


def test_a_websocket_with_a_sign_in_gets_the_page_if_it_is_on_the_list(server):
    address, secret = server
    with tab(address, "train", cookies={COOKIE: signed(address, secret)}) as seen:
        assert b"Signed in as" in seen.drawn
        assert b"CPU" in seen.drawn
    with tab(address, "train", cookies={COOKIE: signed(address, secret, email="eve@uni.example")}) as seen:
        assert b"not on the list" in seen.drawn
        assert b"CPU" not in seen.drawn


def test_uploads_files_and_figures_of_the_server_are_closed_to_who_may_not_come_in(server):
    address, secret = server
    token = xsrf_token(address)
    good, eve = signed(address, secret), signed(address, secret, email="eve@uni.example")
    with tab(address) as seen:
        upload = f"/_stcore/upload_file/{seen.session}/a"
        for method, path, inside in (("PUT", upload, 400), ("GET", "/media/a", 404), ("GET", "/_stcore/metrics", 200)):
            for cookie in ("", "nonsense", signed(address, "x" * 32), eve):
                assert ask(address, method, path, {COOKIE: cookie, XSRF: token}, token).status == 401
            assert ask(address, method, path, {COOKIE: good, XSRF: token}, token).status == inside


def test_no_other_site_may_frame_a_server_that_asks_for_a_sign_in(server):
    answer = ask(server[0], "GET", "/", {})
    assert answer.getheader("Content-Security-Policy") == "frame-ancestors 'self'"
