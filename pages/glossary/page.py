"""Glossary: what the words mean that the other pages use."""

import streamlit as st

from pages.ui.terms import TOPICS, Term, heading

INTRO = (
    "The words that the other pages use, as they explain them where you rest the pointer on :material/help:. Each has "
    "a link of its own: rest the pointer on its heading."
)


def found(text: str) -> dict[str, dict[str, Term]]:
    """The terms whose name or words hold this text, by topic; all for none."""
    wanted = text.strip().casefold()
    kept = {
        topic: {name: term for name, term in terms.items() if wanted in f"{name} {term.words}".casefold()}
        for topic, terms in TOPICS.items()
    }
    return {topic: terms for topic, terms in kept.items() if terms}


def entry(name: str, term: Term) -> str:
    """A term as Markdown; its heading is an anchor."""
    return f"### {heading(name)}\n\n{term.words}" + (f"\n\n${term.formula}$" if term.formula else "")


st.title("Glossary", anchor=False)
st.caption(INTRO)
text = st.text_input("Find", key="find", bind="query-params", placeholder="rollout", width=320)
shown = found(text)
if not shown:
    st.info(
        "No term and no explanation holds this text. Try a shorter one, or empty the field.", icon=":material/info:"
    )
for topic, terms in shown.items():
    st.header(topic, anchor=False)
    with st.grid(2, min_column_width=330, gap="medium"):
        for name, term in terms.items():
            st.markdown(entry(name, term))
