"""Tell visitors of a public demo its limits, who can see their data, and how long it is kept."""

import streamlit as st

from pages import access
from pages.server.limits import MB, DemoLimits
from pages.ui.wording import duration, size

OWN_COMMANDS = "pip install -r requirements.txt\nstreamlit run streamlit_app.py"


def show_notice() -> None:
    """Show the notice on Overview and Train; nothing outside a demo."""
    limits = access.bounds()
    if limits is None:
        return
    with st.container(border=True, key="demo_notice"):
        st.markdown(f":material/public: **This is a public demo.** {privacy_words(limits)}")
        if not access.visitor():
            st.warning(access.NO_COOKIE, icon=":material/cookie_off:")
        with st.expander("Limits of this demo, and how to run it without limits", icon=":material/straighten:"):
            st.markdown(bounds_words(limits))
            st.markdown(own_words(limits))
            if not limits.program_url:
                st.code(OWN_COMMANDS, language="bash")


def privacy_words(limits: DemoLimits) -> str:
    """Return who can see what a visitor makes, and how long it is kept."""
    by = "your sign-in" if access.signs_in() else "a cookie in this browser"
    return (
        f"Only you and the operator of this server can see your runs and images; {by} identifies you. They are stored "
        f"on this server and sent nowhere else. What you do not change for {limits.kept} is deleted; you can delete "
        "runs yourself."
    )


def bounds_words(limits: DemoLimits) -> str:
    """Return the limits as a list."""
    return (
        f"- **Network**: images of at most {limits.image_size} px, depth {limits.depth} and width {limits.embed_dim}, "
        f"{size(limits.run_mb * MB)} on disk.\n"
        f"- **Training**: at most {limits.epochs} epochs and {duration(limits.seconds)}; the weights reached by then "
        f"are kept. One run trains at a time; at most {limits.queue} runs of all visitors train or wait.\n"
        f"- **Per visitor**: {limits.runs} runs and {limits.uploads} sets of images; a zip may have "
        f"{size(limits.upload_mb * MB)}, also after unpacking, and {limits.images:,} files."
    )


def own_words(limits: DemoLimits) -> str:
    """Return how to get the program."""
    if limits.program_url:
        return f"On your own machine there are no limits: [get the program]({limits.program_url})."
    return (
        "On your own machine there are no limits. Ask the operator of this server for the program; in its folder, two "
        "commands start it:"
    )


def upload_words() -> str:
    """Return where uploaded images are stored."""
    return access.own_words() or "They are stored on this machine and sent nowhere else."


def train_words() -> str:
    """Return the limits of a training in one line; an empty string outside a demo."""
    limits = access.bounds()
    if limits is None:
        return ""
    left = access.room()
    return (
        f"Limits of this demo: {limits.image_size} px, depth {limits.depth}, width {limits.embed_dim}, "
        f"{size(limits.run_mb * MB)} of disk, {limits.epochs} epochs and {duration(limits.seconds)} of training. "
        + (f"You can start {left} more." if left else "You cannot start a run now: " + access.why_no_room())
    )
