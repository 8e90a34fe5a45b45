"""The Glossary page: all terms by topic, with a search."""

import streamlit as st

from vit.terms import TOPICS, Term, heading

INTRO = (
    "The terms of the other pages, as shown when you hover over :material/help: there. Hover over a heading to get its "
    "link."
)


def found(text: str) -> dict[str, dict[str, Term]]:
    """Return the terms whose name or explanation contains a text, by topic; all for an empty text."""
    wanted = text.strip().casefold()
    kept = {
        topic: {name: term for name, term in terms.items() if wanted in f"{name} {term.words}".casefold()}
        for topic, terms in TOPICS.items()
    }
    return {topic: terms for topic, terms in kept.items() if terms}


def entry(name: str, term: Term) -> str:
    """Return a term as Markdown, with a heading that is an anchor."""
    return f"### {heading(name)}\n\n{term.words}" + (f"\n\n${term.formula}$" if term.formula else "")


st.title("Glossary", anchor=False)
st.caption(INTRO)
text = st.text_input("Find", key="find", bind="query-params", placeholder="rollout", width=320)
shown = found(text)
if not shown:
    st.info("No term contains this text. Try a shorter text, or clear the field.", icon=":material/info:")
for topic, terms in shown.items():
    st.header(topic, anchor=False)
    with st.grid(2, min_column_width=330, gap="medium"):
        for name, term in terms.items():
            st.markdown(entry(name, term))
