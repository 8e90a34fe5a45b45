"""Who is looking, and what is theirs: the one place where pages meet the runs.

On an own machine everybody is trusted and everything is everybody's. On a demo (:mod:`vit.demo`) a visitor sees what
came with the server and what that visitor made, and changes only the latter. Who it is says the sign-in, or a cookie
(:mod:`pages.server`); never the link, since links are shared.
"""

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from pages.server import VISITOR_COOKIE
from vit import demo, exchange, jobs, runs
from vit.config import RunConfig
from vit.demo import Demo
from vit.errors import RunError
from vit.runs import Run


def bounds() -> Demo | None:
    """The bounds of this demo; None on a server that is its user's own."""
    return demo.in_force(_secrets("demo"))


def visitor() -> str:
    """The mark of who is looking; empty where that is not known, or does not matter."""
    if bounds() is None:
        return ""
    if _secrets("auth") is not None:
        return demo.owner_mark("account", str(st.user.get("iss", "")), str(st.user["sub"]))
    cookie = st.context.cookies.get(VISITOR_COOKIE)
    return demo.owner_mark("cookie", cookie) if cookie else ""


def my_runs() -> list[Run]:
    """The runs that who is looking may see, newest first."""
    found = runs.list_runs()
    if bounds() is None:
        return found
    mine = visitor()
    return [run for run in found if run.config.owner in ("", mine)]


def may_change(run: Run) -> bool:
    """Whether who is looking may rename, delete, stop or resume a run."""
    return bounds() is None or (run.config.owner != "" and run.config.owner == visitor())


def start(config: RunConfig, name: str | None = None) -> Run:
    """:func:`vit.jobs.start`, for who is looking, within the bounds."""
    return jobs.start(_bounded(config), name)


def stop(run: Run) -> None:
    """:func:`vit.jobs.stop` of an own run."""
    jobs.stop(_own(run))


def resume(run: Run) -> None:
    """:func:`vit.jobs.resume` of an own run."""
    jobs.resume(_own(run))


def rename(run: Run, name: str) -> Run:
    """:func:`vit.runs.rename` of an own run."""
    return runs.rename(_own(run), name)


def delete(run: Run) -> None:
    """:func:`vit.runs.delete` of an own run."""
    runs.delete(_own(run))


def unpack(file: object) -> Run:
    """:func:`vit.exchange.unpack`, for who is looking, within the bounds."""
    return exchange.unpack(file)


def _bounded(config: RunConfig) -> RunConfig:
    limits = bounds()
    if limits is None:
        return config
    mine = visitor()
    if not mine:
        raise RunError("This browser keeps no cookie for this page: allow it, so that your runs stay yours.")
    return limits.bounded(config, mine)


def _own(run: Run) -> Run:
    if not may_change(run):
        raise RunError(f"The run {run.name!r} belongs to this demo: only runs of your own can be changed.")
    return run


def _secrets(table: str) -> dict | None:
    """A table of the server's secrets; None where there is none."""
    try:
        return dict(st.secrets[table]) if table in st.secrets else None
    except (FileNotFoundError, StreamlitSecretNotFoundError):
        return None
