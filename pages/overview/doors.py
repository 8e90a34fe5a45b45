"""Three ways to begin: learn, train, explore; and links to all pages."""

import streamlit as st

from pages.overview.tour import tour
from pages.train import minute
from pages.ui.text import plain
from vit.runs import Run

ALL_PAGES = {
    "Begin": ("train", "runs"),
    "Use": ("published", "predict", "evaluate"),
    "Look": ("attention", "relevance", "tokens", "heads", "compare"),
    "Question": ("intervene", "timelapse", "faithfulness"),
    "Learn": ("lessons", "anatomy", "glossary"),
}
"""The pages of the sidebar, in its groups."""


def show_doors(shipped: Run | None, *, with_tour: bool) -> None:
    """Show the three ways.

    Args:
        shipped: the included model, if it is there.
        with_tour: whether the tour is available.
    """
    st.subheader("Start here", anchor=False)
    with st.grid(3, min_column_width=260):
        for show in (lambda: show_learn(with_tour=with_tour), show_train, lambda: show_explore(shipped)):
            with st.container(border=True, height="stretch"):
                show()
    with st.expander("All pages", icon=":material/apps:"), st.grid(5, min_column_width=150):
        for group, names in ALL_PAGES.items():
            with st.container(gap=None):
                st.caption(group)
                for name in names:
                    st.page_link(f"{name}/page.py")


def show_learn(*, with_tour: bool) -> None:
    """Show the tour and what else explains."""
    st.markdown("#### :material/school: Learn")
    if with_tour:
        st.markdown("Follow one image through the included model in six steps.")
        tour.offer_tour()
    else:
        st.markdown("Read what the parts of a Vision Transformer do, and guess what experiments have shown.")
    with st.container(gap="xxsmall"):
        st.page_link("lessons/page.py", label="Lessons: guess, then see", icon=":material/psychology_alt:")
        st.page_link("anatomy/page.py", label="Anatomy: layer by layer", icon=":material/schema:")
        st.page_link("glossary/page.py", label="Glossary", icon=":material/menu_book:")


def show_train() -> None:
    """Show the run in a minute and the form."""
    st.markdown("#### :material/model_training: Train your own")
    minute.offer_minute()
    with st.container(gap="xxsmall"):
        st.page_link("train/page.py", label="Choose images, heads and depth", icon=":material/tune:")
        st.page_link("runs/page.py", label="Compare your runs", icon=":material/table_chart:")


def show_explore(shipped: Run | None) -> None:
    """Show what can be done with the included model, and published ones."""
    st.markdown("#### :material/visibility: Explore")
    if shipped is not None and shipped.has_weights:
        config, best = shipped.config, shipped.best
        accuracy = f" It is right on **{best['val_accuracy']:.1%}** of its validation images." if best else ""
        st.markdown(
            f"The included model ({config.model.title}) tells "
            f"{', '.join(plain(name) for name in config.data.class_names[:8])} apart.{accuracy}"
        )
        query = {"run": shipped.name}
        with st.container(gap="xxsmall"):
            st.page_link(
                "attention/page.py", label="See its attention", icon=":material/visibility:", query_params=query
            )
            st.page_link(
                "predict/page.py", label="Classify your own picture", icon=":material/image_search:", query_params=query
            )
            st.page_link("evaluate/page.py", label="See its mistakes", icon=":material/grid_on:", query_params=query)
            st.page_link("published/page.py", label="Open a published model", icon=":material/cloud_download:")
        return
    st.markdown("Open a well-known pretrained model, and see what its heads attend to in your own pictures.")
    with st.container(gap="xxsmall"):
        st.page_link("published/page.py", label="Published models", icon=":material/cloud_download:")
        st.page_link("predict/page.py", label="Classify your own picture", icon=":material/image_search:")
        st.page_link("attention/page.py", label="See the attention of a run", icon=":material/visibility:")
