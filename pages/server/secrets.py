"""Read the server's secrets (``.streamlit/secrets.toml``), which configure a demo and the sign-in."""

from pathlib import Path
from typing import Any

import streamlit as st
from streamlit import config
from streamlit.errors import StreamlitSecretNotFoundError

from vit.errors import SettingsError


def table(name: str) -> dict[str, Any] | None:
    """Return a table of the secrets as plain dictionaries; None if it does not exist.

    Raises:
        SettingsError: the secrets cannot be read, or the name is not that of a table. Streamlit treats unreadable
            secrets like missing ones, which would open a server that should be closed.
    """
    try:
        secrets = st.secrets.to_dict()
    except (StreamlitSecretNotFoundError, OSError, UnicodeDecodeError) as error:
        files = config.get_option("secrets.files")
        if isinstance(error, StreamlitSecretNotFoundError) and not any(Path(file).exists() for file in files):
            return None
        raise SettingsError(f"The server's secrets cannot be read: {_one_line(error)}.") from None
    if name not in secrets:
        return None
    if not isinstance(secrets[name], dict):
        raise SettingsError(f"{name!r} in the server's secrets is not a table: write [{name}] on a separate line.")
    return secrets[name]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
