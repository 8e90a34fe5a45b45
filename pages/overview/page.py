"""Overview: what this is, what the machine has, the runs, and where to begin."""

import streamlit as st

from pages import access
from pages.overview.tour import tour
from pages.overview.tour.scene import tour_run
from pages.train import minute
from pages.ui.demo_notice import show_notice
from pages.ui.run_words import BADGES
from pages.ui.text import plain
from pages.ui.wording import size
from vit.runs import Run
from vit.support import hardware

ROWS = 20
BRING_BACK = ", or bring it back: in a clone `git checkout checkpoints/scenes-vit`"


def show_shipped() -> None:
    """The run that comes with the project: its score, and its attention as a picture."""
    run = next((run for run in access.my_runs() if run.shipped), None)
    if run is None:
        st.info(
            "The model that comes with the project is not here, so there is no tour and nothing to look at yet. "
            f"Train one of your own, above or on the Train page{BRING_BACK if access.bounds() is None else ''}.",
            icon=":material/info:",
        )
        return
    config, best = run.config, run.best
    with st.container(border=True):
        row = st.grid(2, min_column_width=300, gap="large", vertical_alignment="center")
        with row.cell():
            st.metric("Accuracy of the included model", f"{best['val_accuracy']:.1%}" if best else None)
            st.markdown(
                f"A Vision Transformer ({config.model.title}), trained for {config.training.epochs} epochs to tell "
                f"{', '.join(plain(name) for name in config.data.class_names[:8])}."
            )
            st.page_link(
                "attention/page.py",
                label="Look into its heads",
                icon=":material/visibility:",
                query_params={"run": run.name},
            )
            st.page_link(
                "predict/page.py",
                label="Show it a picture",
                icon=":material/image_search:",
                query_params={"run": run.name},
            )
            st.page_link(
                "evaluate/page.py", label="See where it errs", icon=":material/grid_on:", query_params={"run": run.name}
            )
        with row.cell():
            if run.picture:
                st.image(
                    str(run.picture),
                    width="stretch",
                    caption="What each head attends to in one image: a row for each block, a column for each head.",
                    alt="Attention maps of every head of the included model, laid over an image",
                )
            else:
                st.caption("Open Attention to see what each of its heads attends to.")


def show_steps() -> None:
    """The way through the pages, for a first visit."""
    steps = (
        ("Train", "train/page.py", ":material/model_training:", "Choose images, heads and depth; watch it learn."),
        ("Runs", "runs/page.py", ":material/table_chart:", "Compare what you trained: curves, settings, cost."),
        (
            "Published models",
            "published/page.py",
            ":material/cloud_download:",
            "Open a well-known network, and look into it.",
        ),
        ("Predict", "predict/page.py", ":material/image_search:", "Show a model your own pictures."),
        ("Evaluate", "evaluate/page.py", ":material/grid_on:", "Read the confusion matrix and open the errors."),
        ("Attention", "attention/page.py", ":material/visibility:", "Click a patch and see where every head looks."),
        (
            "Relevance",
            "relevance/page.py",
            ":material/blur_on:",
            "Ask why dog, and why not cat: one map from all heads.",
        ),
        ("Tokens", "tokens/page.py", ":material/apps:", "See what each patch holds, and knows, layer by layer."),
        ("Heads", "heads/page.py", ":material/hub:", "What each head does over all images, and if it is needed."),
        ("Side by side", "compare/page.py", ":material/compare:", "Two images or two runs with the same controls."),
        (
            "Intervene",
            "intervene/page.py",
            ":material/tune:",
            "Switch heads off, cover patches; see the answer follow.",
        ),
        (
            "Time-lapse",
            "timelapse/page.py",
            ":material/timelapse:",
            "Play the training, and watch the maps come about.",
        ),
        (
            "Faithfulness",
            "faithfulness/page.py",
            ":material/fact_check:",
            "Is a map evidence, or no better than chance?",
        ),
        ("Lessons", "lessons/page.py", ":material/school:", "Five questions: guess, see what was measured, train it."),
        ("Anatomy", "anatomy/page.py", ":material/schema:", "Follow the arithmetic of one head, step by step."),
        ("Glossary", "glossary/page.py", ":material/menu_book:", "What the words mean, each in a sentence."),
    )
    with st.grid(4, min_column_width=180):
        for title, page, icon, sentence in steps:
            with st.container(border=True, height="stretch"):
                st.page_link(page, label=f"**{title}**", icon=icon)
                st.caption(sentence)


def show_run(run: Run) -> None:
    """One line of the list of runs."""
    label, icon, colour = BADGES[run.state]
    best, query = run.best, {"run": run.name}
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        with st.container(width=230, gap=None):
            st.markdown(f"**{plain(run.name)}**")
            st.caption(f"{run.config.model.title}, {run.config.training.epochs} epochs")
        with st.container(width=100):
            st.badge(label, icon=icon, color=colour)
        with st.container(width=90):
            st.metric("Accuracy", f"{best['val_accuracy']:.1%}" if best else None, label_visibility="collapsed")
        st.page_link(
            "train/page.py",
            label="Curves",
            icon=":material/show_chart:",
            query_params={**query, "show": "Follow a run"},
        )
        if run.has_weights:
            st.page_link("attention/page.py", label="Attention", icon=":material/visibility:", query_params=query)
            st.page_link("evaluate/page.py", label="Evaluate", icon=":material/grid_on:", query_params=query)


def show_overview(*, with_tour: bool) -> None:
    """All but the tour itself."""
    own_machine = access.bounds() is None
    st.markdown(
        "Train a Vision Transformer on your own images, with as many heads and blocks as you like, and watch it learn. "
        "Then show it a picture and look at what every head of every block attends to, from any patch that you click. "
        + ("Everything runs on this machine; nothing is sent anywhere." if own_machine else "")
    )
    show_notice()
    with st.container(border=True):
        if with_tour:
            with st.container(horizontal=True, vertical_alignment="center"):
                tour.offer_tour()
                st.caption(
                    "New to Vision Transformers? Six steps from an image to the answer, live on the included model; "
                    "about five minutes.",
                    width="stretch",
                )
        minute.offer_minute()
    st.caption(
        "This page: the model that is included, the way through the other pages, and "
        + ("all runs on this machine." if own_machine else "the runs that you can see.")
    )
    show_shipped()
    st.subheader("Start here", anchor=False)
    show_steps()
    show_runs()
    show_machine()


def show_runs() -> None:
    """The newest runs, and folders that should be runs."""
    found = access.my_runs()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.subheader("Runs", anchor=False, width="content")
        if found:
            st.page_link("runs/page.py", label="All runs and comparisons", icon=":material/table_chart:")
    if not found:
        st.caption("No runs yet: the first training appears here.")
    with st.container(gap="small"):
        for run in found[:ROWS]:
            show_run(run)
    if len(found) > ROWS:
        st.caption(f"And {len(found) - ROWS} older ones, which stand on the Runs page.")
    for name, reason in access.broken_runs():
        st.caption(f":material/warning: The folder {plain(name)} looks like a run but cannot be read: {plain(reason)}")


def show_machine() -> None:
    """What there is to compute on."""
    st.subheader("This machine", anchor=False)
    for device in hardware.devices():
        memory, free = size(device.memory_bytes), size(device.free_bytes)
        st.caption(f":material/memory: {plain(device.title)}: {memory} of memory, {free} of it free")


guide, step = tour_run(), tour.current_step()
if guide is not None and step is not None:
    st.title("From an image to an answer", anchor=False)
    tour.show_tour(guide, step)
else:
    st.title("Attention explorer", anchor=False)
    show_overview(with_tour=guide is not None)
