"""The Overview page: introduction, tour, included model, guide to the pages, runs and hardware."""

import streamlit as st

from pages import access
from pages.overview.tour import tour
from pages.overview.tour.scene import tour_run
from pages.train import minute
from pages.ui.demo_notice import show_notice
from pages.ui.dependence import note_low_dependence
from pages.ui.run_doubts import show_run_doubts
from pages.ui.run_words import BADGES
from pages.ui.text import plain
from pages.ui.wording import size
from vit.runs import SHIPPED_RUN, Run
from vit.support import hardware

ROWS = 20
RESTORE = f", or restore the included one: in a clone, run `git checkout checkpoints/{SHIPPED_RUN}`"


def show_shipped() -> None:
    """Show the included model's accuracy and a picture of its attention."""
    run = next((run for run in access.my_runs() if run.name == SHIPPED_RUN), None)
    if run is None:
        st.info(
            "The included model is missing, so the tour is not available. Train a model of your own, above or on the "
            f"Train page{RESTORE if access.bounds() is None else ''}.",
            icon=":material/info:",
        )
        return
    config, best = run.config, run.best
    with st.container(border=True):
        row = st.grid(2, min_column_width=300, gap="large", vertical_alignment="center")
        with row.cell():
            st.metric("Accuracy of the included model", f"{best['val_accuracy']:.1%}" if best else None)
            st.markdown(
                f"A Vision Transformer ({config.model.title}), trained for {config.training.epochs} epochs to classify "
                f"images as {', '.join(plain(name) for name in config.data.class_names[:8])}."
            )
            st.page_link(
                "attention/page.py",
                label="See its attention",
                icon=":material/visibility:",
                query_params={"run": run.name},
            )
            st.page_link(
                "predict/page.py",
                label="Classify your own picture",
                icon=":material/image_search:",
                query_params={"run": run.name},
            )
            st.page_link(
                "evaluate/page.py",
                label="See its mistakes",
                icon=":material/grid_on:",
                query_params={"run": run.name},
            )
        with row.cell():
            if run.picture:
                st.image(
                    str(run.picture),
                    width="stretch",
                    caption="What each head attends to in one image. Rows are layers, columns are heads.",
                    alt="Attention maps of every head of the included model over one image",
                )
                show_run_doubts(run)
                note_low_dependence(run)
            else:
                st.caption("Open Attention to see what each head attends to.")


def show_steps() -> None:
    """Show a card for each page."""
    steps = (
        (
            "Train",
            "train/page.py",
            ":material/model_training:",
            "Choose images, heads and depth, and watch the training.",
        ),
        ("Runs", "runs/page.py", ":material/table_chart:", "Compare curves, settings and cost of your runs."),
        (
            "Published models",
            "published/page.py",
            ":material/cloud_download:",
            "Open a well-known pretrained model.",
        ),
        ("Predict", "predict/page.py", ":material/image_search:", "Classify your own pictures."),
        (
            "Evaluate",
            "evaluate/page.py",
            ":material/grid_on:",
            "See the confusion matrix and the misclassified images.",
        ),
        ("Attention", "attention/page.py", ":material/visibility:", "Click a patch to see what every head attends to."),
        (
            "Relevance",
            "relevance/page.py",
            ":material/blur_on:",
            "Why dog and not cat? One map per class from all heads.",
        ),
        ("Tokens", "tokens/page.py", ":material/apps:", "See what each token represents after every layer."),
        ("Heads", "heads/page.py", ":material/hub:", "What each head does over many images, and whether it matters."),
        ("Side by side", "compare/page.py", ":material/compare:", "Compare two images or two runs."),
        (
            "Intervene",
            "intervene/page.py",
            ":material/tune:",
            "Switch heads off or cover patches, and see the answer change.",
        ),
        (
            "Time-lapse",
            "timelapse/page.py",
            ":material/timelapse:",
            "Replay the training and watch the attention maps form.",
        ),
        (
            "Faithfulness",
            "faithfulness/page.py",
            ":material/fact_check:",
            "Test whether a map is better than chance.",
        ),
        ("Lessons", "lessons/page.py", ":material/school:", "Five questions: guess, then see what was measured."),
        (
            "Anatomy",
            "anatomy/page.py",
            ":material/schema:",
            "The network layer by layer, and the arithmetic of one head.",
        ),
        ("Glossary", "glossary/page.py", ":material/menu_book:", "Short explanations of all terms."),
    )
    with st.grid(4, min_column_width=180):
        for title, page, icon, sentence in steps:
            with st.container(border=True, height="stretch"):
                st.page_link(page, label=f"**{title}**", icon=icon)
                st.caption(sentence)


def show_run(run: Run) -> None:
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
    """Show the page as it is outside the tour."""
    own_machine = access.bounds() is None
    st.markdown(
        "Train a Vision Transformer on your own images with any number of heads and layers, and watch it learn. Then "
        "give it a picture, click any patch, and see what every head of every layer attends to. "
        + ("Everything runs on this machine; no data leaves it." if own_machine else "")
    )
    show_notice()
    with st.container(border=True):
        if with_tour:
            with st.container(horizontal=True, vertical_alignment="center"):
                tour.offer_tour()
                st.caption(
                    "New to Vision Transformers? Follow one image through the included model in six steps.",
                    width="stretch",
                )
        minute.offer_minute()
    show_shipped()
    st.subheader("Start here", anchor=False)
    show_steps()
    show_runs()
    show_machine()


def show_runs() -> None:
    """Show the newest runs, and the folders that cannot be read as runs."""
    found = access.my_runs()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.subheader("Runs", anchor=False, width="content")
        if found:
            st.page_link("runs/page.py", label="All runs and comparisons", icon=":material/table_chart:")
    if not found:
        st.caption("No runs yet. The first one appears here.")
    with st.container(gap="small"):
        for run in found[:ROWS]:
            show_run(run)
    if len(found) > ROWS:
        st.caption(f"{len(found) - ROWS} older runs are listed on the Runs page.")
    for name, reason in access.broken_runs():
        st.caption(f":material/warning: The folder {plain(name)} looks like a run but cannot be read: {plain(reason)}")


def show_machine() -> None:
    """Show the devices of this machine and their memory."""
    st.subheader("This machine", anchor=False)
    for device in hardware.devices():
        memory, free = size(device.memory_bytes), size(device.free_bytes)
        st.caption(f":material/memory: {plain(device.title)}: {memory} of memory, {free} free")


guide, step = tour_run(), tour.current_step()
if guide is not None and step is not None:
    st.title("From an image to a prediction", anchor=False)
    tour.show_tour(guide, step)
else:
    st.title("Attention explorer", anchor=False)
    show_overview(with_tour=guide is not None)
