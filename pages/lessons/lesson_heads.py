"""Lesson: what four heads do that one cannot, at equal parameters."""

import streamlit as st

from pages.lessons import frame
from vit import lessons, plots
from vit.lessons import EXPERIMENTS, contrast
from vit.runs import SHIPPED_RUN

ONE, MORE, ALIKE = "One head: it is the widest", "More heads", "Alike: the parameters are as many"
RIGHT = {"better": MORE, "worse": ONE, "alike": ALIKE}

lesson = frame.begin("heads")
mine = frame.own_runs(lesson)
variants = EXPERIMENTS["heads"]
one, two, four, eight = (lessons.stored().of("heads", variant.name) for variant in variants)
model = variants[0].config.model

guessed = frame.guess(
    lesson,
    f"Four networks differ only in how a token's {model.embed_dim} numbers are shared out: to one head, to two, four "
    f"or eight. All have {variants[0].parameters:,} parameters and are trained alike. Which names more scenes?",
    (ONE, MORE, ALIKE),
)

frame.background(
    "A head compares one query with the keys of all tokens, turns the scores into shares that sum to 1, and hands on "
    "**one weighted mean** of the values:",
    r"\mathrm{head}(q) = \sum_m \operatorname{softmax}_m\!\left(\tfrac{q \cdot k_m}{\sqrt{d}}\right) v_m",
    "If an ear and a tail both matter, one head must give each a part of its only mean, in which they are no longer "
    "told apart. Two heads bring two means. “With a single attention head, averaging inhibits this”, says the paper "
    "that brought heads up (Vaswani et al. 2017).\n\n"
    "The price is width: of $h$ heads each has $d = e / h$ numbers to compare with, where $e$ is the token's width. "
    "The parameters stay as many. The networks here have **one block**, so the class token looks once, and linear "
    "patches, so nothing else mixes them: what the heads bring is all there is.",
)

frame.set_up(
    lesson,
    mine,
    f"Scenes at {model.image_size} px in {model.grid} × {model.grid} patches, "
    f"{variants[0].config.training.epochs} epochs, the standard recipe.",
)
frame.look_for(
    "**Curves**: when does each leave 20 %, which guessing among five classes gives?",
    "**Attention**, patch 0, which is the class token: one head lights up one set of patches. Do several light up "
    "different ones?",
    "**Attention** from any other patch: in a network of one block nobody reads what patches take over, so their "
    "queries are never trained, and these maps mean nothing. A map can be looked at without being used.",
    "**Heads**, *Importance*: what is lost without each head.",
)
frame.own_links(
    lesson,
    mine,
    ("h1", "h4", "h8"),
    {
        "Attention of the class token": ("attention/page.py", ":material/visibility:", {"token": "0"}),
        "Importance of each head": ("heads/page.py", ":material/hub:", {"view": "Importance"}),
    },
)

if frame.answer(guessed):
    order = contrast(four, one)
    words = {
        "better": "The averaging is real here: with one look, more heads see more.",
        "worse": "That contradicts the textbook: here width is worth more than several looks.",
        "alike": "The textbook's argument does not show in the score of networks this small.",
    }
    frame.verdict(
        guessed,
        RIGHT[order],
        f"One head names {one.mean():.1%} of new scenes, two {two.mean():.1%}, four {four.mean():.1%}, eight "
        f"{eight.mean():.1%}. {words[order]}",
    )
    shown = frame.dots(lesson, mine)
    frame.show_figure(
        "lesson-heads",
        plots.measured_dots(shown, quantity="Accuracy on new scenes", guessing=0.2),
        "Validation accuracy with one, two, four and eight heads",
    )
    frame.show_measurements(lesson, {"Heads apart": ("apart", ".0%"), "On the object": ("on_object", ".0%")}, own=shown)
    st.caption(
        "*Heads apart*: how much of the class token's attention would have to move to make one head's map another's, "
        "mean over pairs of heads. *On the object*: the share of its attention to patches that lies on the object, "
        f"mean over heads; spread evenly it would be {one.mean('by_area'):.0%}."
    )
    st.markdown(
        f"**What differs besides the score.** Four heads put {four.mean('apart'):.0%} of their attention elsewhere "
        f"than each other, eight heads {eight.mean('apart'):.0%}: they do not look at the same thing. "
        "None of this says that *every* head is needed. In networks of several blocks many can be switched off at "
        "little loss (Michel et al. 2019), which *Importance* on the Heads page shows."
    )
    st.page_link(
        "heads/page.py",
        label="Which heads of the included model matter",
        icon=":material/hub:",
        query_params={"run": SHIPPED_RUN, "view": "Importance"},
    )
    frame.provenance("heads")
frame.go_on(lesson)
