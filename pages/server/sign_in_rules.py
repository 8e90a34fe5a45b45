"""Who may come in, where the server's secrets ask for a sign-in: the rules, without a page."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field
from streamlit.auth_util import validate_auth_credentials
from streamlit.errors import StreamlitAuthError

from pages.server import secrets
from vit.config.base import Settings
from vit.errors import SettingsError

COOKIE_SECRET_LENGTH = 32
"""Characters; who guesses the secret can sign in as anybody."""


class SignIn(Settings):
    """``[sign_in]`` of the server's secrets.

    Attributes:
        allowed: patterns of e-mail addresses, such as ``*@uni.example``; None lets in whom the providers let in.
        vouched: providers whose e-mail addresses count as verified though the provider does not say so.
    """

    allowed: tuple[str, ...] | None = None
    vouched: tuple[str, ...] = Field(default=())


def required() -> SignIn | None:
    """How one signs in; None on a server that asks for no sign-in.

    Raises:
        SettingsError: a sign-in is asked for, but cannot work; the sentence is for the operator.
    """
    auth, rules = secrets.table("auth"), secrets.table("sign_in")
    if auth is None:
        if rules is not None:
            raise SettingsError("The server's secrets have [sign_in] but no [auth]: name the provider there.")
        return None
    sign_in = SignIn(**rules or {})
    _check(auth)
    unknown = set(sign_in.vouched) - set(providers())
    if unknown:
        raise SettingsError(f"vouched in [sign_in] names {', '.join(sorted(unknown))}, which [auth] does not.")
    return sign_in


def is_required() -> bool:
    """Whether this server asks for a sign-in; also where how cannot be told."""
    try:
        return required() is not None
    except SettingsError:
        return True


def providers() -> list[str]:
    """The names of the providers in ``[auth]``; "default" is the one whose settings stand in the table itself."""
    auth = secrets.table("auth") or {}
    names = [name for name, value in auth.items() if isinstance(value, dict) and name != "client_kwargs"]
    own = any(name in auth for name in ("client_id", "client_secret", "server_metadata_url"))
    return ["default", *names] if own and "default" not in names else names


def refusal(claims: Mapping[str, Any], sign_in: SignIn) -> str:
    """Why an account may not come in; empty where it may.

    Args:
        claims: what the provider says of the account in its id token, and ``provider``, the provider's name.
        sign_in: the rules.
    """
    if claims.get("provider") not in providers() or not claims.get("iss") or not claims.get("sub"):
        return "This sign-in is of a provider that this server does not use any more. Sign out, and in again."
    if sign_in.allowed is None:
        return ""
    mail = str(claims.get("email") or "").lower()
    if not mail:
        return "Your provider tells this server no e-mail address, and it lets people in by their address."
    stated = claims.get("email_verified")
    vouched = stated is None and claims["provider"] in sign_in.vouched
    if not (vouched or stated is True or str(stated).lower() == "true"):
        return "Your provider has not verified your e-mail address, and this server lets in verified ones only."
    if any(fnmatchcase(mail, pattern.lower()) for pattern in sign_in.allowed):
        return ""
    return "Your account is not on the list of those who may use this server. Ask whoever runs it."


def _check(auth: Mapping[str, Any]) -> None:
    """Whether a sign-in through these providers can work at all.

    Raises:
        SettingsError: it cannot.
    """
    if find_spec("authlib") is None or find_spec("httpx") is None:
        raise SettingsError("Signing in needs Authlib and httpx: pip install 'streamlit[auth]'.")
    if not providers():
        raise SettingsError("[auth] in the server's secrets names no provider: see .streamlit/secrets.example.toml.")
    for name in providers():
        try:
            validate_auth_credentials(name)
        except StreamlitAuthError as error:
            raise SettingsError(" ".join(str(error).split())) from None
    secret, target = auth["cookie_secret"], urlsplit(str(auth["redirect_uri"]))
    if not isinstance(secret, str) or len(secret) < COOKIE_SECRET_LENGTH:
        raise SettingsError(
            f"cookie_secret in [auth] must be {COOKIE_SECRET_LENGTH} random characters at least: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))" makes one.'
        )
    if target.scheme not in ("http", "https") or not target.netloc or not target.path.endswith("/oauth2callback"):
        raise SettingsError("redirect_uri in [auth] must be this app's address and end in /oauth2callback.")
