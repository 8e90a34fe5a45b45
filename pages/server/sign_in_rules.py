"""Rules of a server with sign-in: the providers, and the accounts that may use the server."""

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
"""Minimal number of characters. A person who guesses the secret can sign in as any user."""


class SignIn(Settings):
    """``[sign_in]`` of the server's secrets.

    Attributes:
        allowed: patterns of e-mail addresses, such as ``*@uni.example``; None allows every account of the providers.
        vouched: providers whose e-mail addresses count as verified although the provider does not say so.
    """

    allowed: tuple[str, ...] | None = None
    vouched: tuple[str, ...] = Field(default=())


def required() -> SignIn | None:
    """Return the sign-in rules; None on a server without sign-in.

    Raises:
        SettingsError: the sign-in is not configured correctly; the message is for the operator.
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
    """Return whether this server requires a sign-in; also True if its rules cannot be read."""
    try:
        return required() is not None
    except SettingsError:
        return True


def providers() -> list[str]:
    """Return the names of the providers in ``[auth]``; "default" has its settings in the table itself."""
    auth = secrets.table("auth") or {}
    names = [name for name, value in auth.items() if isinstance(value, dict) and name != "client_kwargs"]
    own = any(name in auth for name in ("client_id", "client_secret", "server_metadata_url"))
    return ["default", *names] if own and "default" not in names else names


def refusal(claims: Mapping[str, Any], sign_in: SignIn) -> str:
    """Return why an account may not use this server; empty if it may.

    Args:
        claims: the id token of the account, and ``provider``, the name of the provider.
        sign_in: the rules.
    """
    if claims.get("provider") not in providers() or not claims.get("iss") or not claims.get("sub"):
        return "You signed in with a provider that this server no longer uses. Sign out and sign in again."
    if sign_in.allowed is None:
        return ""
    mail = str(claims.get("email") or "").lower()
    if not mail:
        return "Your provider does not give this server your e-mail address, which it needs to let you in."
    stated = claims.get("email_verified")
    vouched = stated is None and claims["provider"] in sign_in.vouched
    if not (vouched or stated is True or str(stated).lower() == "true"):
        return "Your provider has not verified your e-mail address. This server accepts only verified addresses."
    if any(fnmatchcase(mail, pattern.lower()) for pattern in sign_in.allowed):
        return ""
    return "Your account is not on the list of accounts that may use this server. Ask its operator."


def _check(auth: Mapping[str, Any]) -> None:
    """Check the settings of the providers.

    Raises:
        SettingsError: a sign-in cannot work with these settings.
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
            f"cookie_secret in [auth] must have at least {COOKIE_SECRET_LENGTH} random characters: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))" makes one.'
        )
    if target.scheme not in ("http", "https") or not target.netloc or not target.path.endswith("/oauth2callback"):
        raise SettingsError("redirect_uri in [auth] must be this app's address and end in /oauth2callback.")
