"""A small OpenID provider on the loopback address, real but for its users, who need no password."""

import base64
import hashlib
import html
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID, CLIENT_SECRET = "explorer", "the explorer's own secret"
CLAIMS = ("email", "email_verified", "name")


@dataclass
class Provider:
    """The provider: who may sign in with it, and what it has been asked.

    Attributes:
        users: claims of each account, by its name; the person who signs in picks one of them, or refuses.
        address: where it is.
        codes: what was granted and not fetched yet.
        signed_out: the redirects after signing out.
    """

    users: dict[str, dict[str, Any]]
    address: str
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "the only one", "use": "sig"}))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    signed_out: list[str] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.configuration),
                Route("/authorize", self.authorize),
                Route("/chosen", self.chosen),
                Route("/token", self.token, methods=["POST"]),
                Route("/keys", self.keys),
                Route("/sign-out", self.sign_out),
            ]
        )

    async def configuration(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.address,
                "authorization_endpoint": f"{self.address}/authorize",
                "token_endpoint": f"{self.address}/token",
                "jwks_uri": f"{self.address}/keys",
                "end_session_endpoint": f"{self.address}/sign-out",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
                "scopes_supported": ["openid", "email", "profile"],
            }
        )

    async def authorize(self, request: Request) -> Response:
        """A page with a button for each account."""
        asked = dict(request.query_params)
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["nonce"]
        fields = "".join(f'<input type=hidden name="{k}" value="{html.escape(v)}">' for k, v in asked.items())
        buttons = "".join(f'<button name="user" value="{name}">{name}</button>' for name in [*self.users, "nobody"])
        return HTMLResponse(f"<h1>Who are you?</h1><form action=/chosen>{fields}{buttons}</form>")

    async def chosen(self, request: Request) -> Response:
        asked = dict(request.query_params)
        answer = {"state": asked["state"]}
        if asked["user"] in self.users:
            answer["code"] = secrets.token_urlsafe(16)
            self.codes[answer["code"]] = asked
        else:
            answer["error"] = "access_denied"
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer)}")

    async def token(self, request: Request) -> Response:
        """The id token for a code: once, to the client that knows its secret and what it was asked with."""
        form = await request.form()
        asked = self.codes.pop(str(form["code"]), None)
        told = request.headers.get("authorization", "").removeprefix("Basic ")
        client = base64.b64decode(told).decode() if told else f"{form['client_id']}:{form['client_secret']}"
        challenge = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        if (
            asked is None
            or client != f"{CLIENT_ID}:{CLIENT_SECRET}"
            or form["redirect_uri"] != asked["redirect_uri"]
            or base64.urlsafe_b64encode(challenge).decode().rstrip("=") != asked["code_challenge"]
        ):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        now = int(time.time())
        claims = {
            "iss": self.address,
            "sub": f"number of {asked['user']}",
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
        } | {name: value for name, value in self.users[asked["user"]].items() if name in CLAIMS}
        token = jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)
        return JSONResponse({"access_token": "unused", "token_type": "Bearer", "expires_in": 300, "id_token": token})

    async def keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def sign_out(self, request: Request) -> Response:
        target = request.query_params["post_logout_redirect_uri"]
        self.signed_out.append(target)
        return RedirectResponse(target)


@contextmanager
def providing(users: dict[str, dict[str, Any]]) -> Iterator[Provider]:
    """Run a provider of these accounts in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    provider = Provider(users, f"http://127.0.0.1:{listener.getsockname()[1]}")
    server = uvicorn.Server(uvicorn.Config(provider.app(), log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def write_secrets(path: Path, provider: str, *, sign_in: str = "", more: str = "") -> Path:
    """Secrets of a server on 127.0.0.1 that sends people to a provider at this address.

    Args:
        path: the file.
        provider: the provider's address.
        sign_in: lines of ``[sign_in]``.
        more: further tables.
    """
    path.write_text(
        f"""
[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "{secrets.token_urlsafe(32)}"
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
server_metadata_url = "{provider}/.well-known/openid-configuration"
{"[sign_in]" if sign_in else ""}
{sign_in}
{more}
"""
    )
    return path
