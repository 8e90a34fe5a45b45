"""Every request begins here, whichever page it asks for: page config, navigation, the sidebar that all pages share."""

import streamlit as st

from pages import access
from vit import hardware, jobs, runs
from vit.errors import UserError

st.set_page_config(page_title="Attention explorer", page_icon=":material/visibility:", layout="wide")

page = st.navigation(
    {
        "": [
            st.Page("overview.py", title="Overview", icon=":material/home:", default=True),
            st.Page("train.py", title="Train", icon=":material/model_training:", url_path="train"),
            st.Page("runs.py", title="Runs", icon=":material/table_chart:", url_path="runs"),
        ],
        "Use": [
            st.Page("predict.py", title="Predict", icon=":material/image_search:", url_path="predict"),
            st.Page("evaluate.py", title="Evaluate", icon=":material/grid_on:", url_path="evaluate"),
        ],
        "Look": [
            st.Page("attention.py", title="Attention", icon=":material/visibility:", url_path="attention"),
            st.Page("relevance.py", title="Relevance", icon=":material/blur_on:", url_path="relevance"),
            st.Page("tokens.py", title="Tokens", icon=":material/apps:", url_path="tokens"),
            st.Page("heads.py", title="Heads", icon=":material/hub:", url_path="heads"),
            st.Page("compare.py", title="Side by side", icon=":material/compare:", url_path="compare"),
        ],
        "Question": [
            st.Page("intervene.py", title="Intervene", icon=":material/tune:", url_path="intervene"),
            st.Page("timelapse.py", title="Time-lapse", icon=":material/timelapse:", url_path="timelapse"),
            st.Page("faithfulness.py", title="Faithfulness", icon=":material/fact_check:", url_path="faithfulness"),
        ],
        "Learn": [
            st.Page("anatomy.py", title="Anatomy", icon=":material/schema:", url_path="anatomy"),
        ],
    },
    expanded=True,
)
jobs.poll()


@st.cache_data(ttl=300, max_entries=1, show_spinner=False)
def device_titles() -> list[str]:
    """What this machine computes on; asking takes a driver call, so not at every rerun."""
    return [device.title for device in hardware.devices()]


def active_runs() -> list[runs.Run]:
    """Runs that train or wait for their turn, newest first."""
    return [run for run in access.my_runs() if run.state in ("queued", "running")]


def show_jobs(shown: list[str]) -> None:
    """One line and a bar for each active run; a full rerun when the set of them has changed."""
    jobs.poll()
    active = active_runs()
    if [run.name for run in active] != shown:
        st.rerun()
    for run in active:
        status = run.status
        share = status.step / status.steps_total if status.steps_total else 0.0
        # Not ?run=: where the page that is left has a run picker, Streamlit takes that parameter for its own.
        st.page_link("train.py", label=run.name, icon=":material/show_chart:", query_params={"follow": run.name})
        label = f"epoch {status.epoch + 1}, {share:.0%}" if status.step else "getting ready"
        if run.state == "queued":
            label = "waiting for the device"
        st.progress(min(share, 1.0), text=label)


active = active_runs()
with st.sidebar:
    if active:
        st.caption("Training now")
        st.fragment(show_jobs, run_every=2)([run.name for run in active])
    st.caption("  \n".join(f":material/memory: {title}" for title in device_titles()))

try:
    page.run()
except UserError as error:
    st.error(str(error), icon=":material/error:")
