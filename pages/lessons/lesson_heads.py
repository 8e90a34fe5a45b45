"""Lesson: one head against several at the same number of parameters."""

import streamlit as st

from pages.lessons import experiment, frame
from vit import lessons, plots
from vit.lessons import EXPERIMENTS, contrast
from vit.lessons.texts import MORE_HEADS, ONE_HEAD, SAME
from vit.runs import SHIPPED_RUN

RIGHT = {"better": MORE_HEADS, "worse": ONE_HEAD, "similar": SAME}

lesson, text, marks = frame.begin("heads")
one, two, four, eight = (lessons.stored().of("heads", variant.name) for variant in EXPERIMENTS["heads"])

guessed = frame.guess(lesson, text)
frame.more(text)
mine = experiment.show_experiment(lesson)
frame.own_links(
    lesson,
    mine,
    ("h1", "h4", "h8"),
    {
        "Attention of the class token": ("attention/page.py", ":material/visibility:", {"token": "0"}),
        "Importance of each head": ("heads/page.py", ":material/hub:", {"view": "Importance"}),
    },
)

if guessed := frame.answer(lesson, guessed):
    order = contrast(four, one)
    words = {
        "better": "With a single block, more heads give better accuracy.",
        "worse": "That contradicts the textbook: here one wide head is better than several narrow ones.",
        "similar": "One head and four are not distinguishable here: the textbook's argument does not show in the "
        "accuracy of networks this small.",
    }
    frame.verdict(
        guessed,
        RIGHT[order],
        f"Accuracy on new scenes: one head {one.mean():.1%}, two {two.mean():.1%}, four {four.mean():.1%}, eight "
        f"{eight.mean():.1%}. {words[order]}",
    )
    shown = frame.dots(lesson)
    frame.show_figure(
        "lesson-heads",
        plots.measured_dots(shown, quantity="Accuracy on new scenes", guessing=experiment.GUESSING),
        "Validation accuracy with one, two, four and eight heads",
    )
    frame.show_measurements(
        lesson, {"Difference of heads": ("apart", ".0%"), "On the object": ("on_object", ".0%")}, own=shown
    )
    st.markdown(
        f"**The heads differ.** Between two of four heads, {four.mean('apart'):.0%} of the attention differs, between "
        f"two of eight heads {eight.mean('apart'):.0%}. This does not mean that *every* head is needed: in networks "
        "with several blocks, many heads can be switched off with little loss (Michel et al. 2019)."
    )
    st.page_link(
        "heads/page.py",
        label="See which heads of the included model matter",
        icon=":material/hub:",
        query_params={"run": SHIPPED_RUN, "view": "Importance"},
    )
    frame.provenance(
        "heads",
        "*Difference of heads*: the share of the class token's attention that would have to move to turn one head's "
        "map into another's, mean over pairs of heads. *On the object*: the share of its attention to patches that is "
        f"on the object, mean over heads; evenly spread attention would have {one.mean('by_area'):.0%}.",
    )
frame.go_on(lesson, marks)
