"""What a visitor of a demo should know: what it takes, who sees what, how long things stay."""

import streamlit as st

from pages import access
from pages.server.limits import MB, DemoLimits
from pages.ui.wording import duration, size

OWN_COMMANDS = "pip install -r requirements.txt\nstreamlit run streamlit_app.py"


def show_notice() -> None:
    """The notice of Overview and Train; nothing on an own machine."""
    limits = access.bounds()
    if limits is None:
        return
    with st.container(border=True, key="demo_notice"):
        st.markdown(f":material/public: **This is a public demo.** {privacy_words(limits)}")
        if not access.visitor():
            st.warning(access.NO_COOKIE, icon=":material/cookie_off:")
        with st.expander("What it takes, and how to run it without bounds", icon=":material/straighten:"):
            st.markdown(bounds_words(limits))
            st.markdown(own_words(limits))
            if not limits.program_url:
                st.code(OWN_COMMANDS, language="bash")


def privacy_words(limits: DemoLimits) -> str:
    """Who sees what a visitor makes, and how long it stays."""
    by = "your sign-in" if access.signs_in() else "a cookie of this browser"
    return (
        f"Your runs and images are seen by you alone, whom {by} tells from others, and by whoever runs this server. "
        f"They lie on it and are sent nowhere else. What you do not change for {limits.kept} is deleted; "
        "runs you can delete yourself."
    )


def bounds_words(limits: DemoLimits) -> str:
    """The bounds, as a list."""
    return (
        f"- **A network**: images of {limits.image_size} px, a depth of {limits.depth} and a width of "
        f"{limits.embed_dim} at most, {size(limits.run_mb * MB)} on the disk.\n"
        f"- **A training**: {limits.epochs} epochs and {duration(limits.seconds)} at most; what is reached by then is "
        f"kept. One run trains at a time; {limits.queue} of all visitors may train or wait.\n"
        f"- **You**: {limits.runs} runs and {limits.uploads} sets of images; a zip may have "
        f"{size(limits.upload_mb * MB)}, also once it is expanded, and {limits.images:,} files."
    )


def own_words(limits: DemoLimits) -> str:
    """How to get the program."""
    if limits.program_url:
        return f"On a machine of your own nothing of this is bounded: [get the program]({limits.program_url})."
    return (
        "On a machine of your own nothing of this is bounded. Ask whoever runs this server for the program; "
        "in its folder, two commands start it:"
    )


def upload_words() -> str:
    """Where an uploaded image goes."""
    return access.own_words() or "They are kept on this machine and sent nowhere else."


def train_words() -> str:
    """The bounds of a training in one line; empty on an own machine."""
    limits = access.bounds()
    if limits is None:
        return ""
    left = access.room()
    return (
        f"This demo takes {limits.image_size} px, depth {limits.depth}, width {limits.embed_dim}, "
        f"{size(limits.run_mb * MB)} of disk, {limits.epochs} epochs and {duration(limits.seconds)} of training at "
        "most. " + (f"You can start {left} more." if left else "No run can be started now: " + access.why_no_room())
    )
