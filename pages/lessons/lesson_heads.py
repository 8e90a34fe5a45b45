"""Lesson: one head against several at the same number of parameters."""

import streamlit as st

from pages.lessons import frame
from vit import lessons, plots
from vit.lessons import EXPERIMENTS, contrast
from vit.runs import SHIPPED_RUN

ONE, MORE, SAME = "One head: it is the widest", "More heads", "No difference: same parameter count"
RIGHT = {"better": MORE, "worse": ONE, "similar": SAME}

lesson = frame.begin("heads")
mine = frame.own_runs(lesson)
variants = EXPERIMENTS["heads"]
one, two, four, eight = (lessons.stored().of("heads", variant.name) for variant in variants)
model = variants[0].vit_config

guessed = frame.guess(
    lesson,
    f"Four networks differ only in the number of heads that a token's {model.embed_dim} numbers are divided among: "
    "one, "
    f"two, four or eight. All have {variants[0].parameters:,} parameters and the same training. Which network "
    "classifies more scenes correctly?",
    (ONE, MORE, SAME),
)

frame.background(
    "A head compares one query with the keys of all tokens, turns the scores into shares that sum to 1, and outputs "
    "**one weighted mean** of the values:",
    r"\mathrm{head}(q) = \sum_m \operatorname{softmax}_m\!\left(\tfrac{q \cdot k_m}{\sqrt{d}}\right) v_m",
    "If an ear and a tail both matter, a single head must mix them in its one mean, where they can no longer be told "
    "apart. Two heads give two means. “With a single attention head, averaging inhibits this”, says the paper that "
    "introduced multiple heads (Vaswani et al. 2017).\n\n"
    "The price is width: each of $h$ heads compares only $d = e / h$ numbers, where $e$ is the token's width. The "
    "number "
    "of parameters stays the same. The networks here have **one block**, so the class token attends once, and linear "
    "patches, so nothing else mixes them: all information reaches the class token through the heads.",
)

frame.set_up(
    lesson,
    mine,
    f"Scenes at {model.image_size} px in {model.grid} × {model.grid} patches, "
    f"{variants[0].config.training.epochs} epochs, the standard recipe.",
)
frame.look_for(
    "**Curves**: when does each network exceed 20 %, the accuracy of guessing among five classes?",
    "**Attention** of the class token (patch 0): do several heads attend to different patches?",
    "**Attention** of any other patch: in a network with one block, the output of the patches is never used. Their "
    "queries are not trained, so these maps mean nothing: a map may look plausible although the network does not use "
    "it.",
    "**Heads**, *Importance*: how much accuracy is lost without each head.",
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

if guessed := frame.answer(guessed):
    order = contrast(four, one)
    words = {
        "better": "The averaging matters here: with a single block, more heads give better accuracy.",
        "worse": "That contradicts the textbook: here one wide head is better than several narrow ones.",
        "similar": "The textbook's argument does not show in the accuracy of networks this small.",
    }
    frame.verdict(
        guessed,
        RIGHT[order],
        f"Accuracy on new scenes: one head {one.mean():.1%}, two {two.mean():.1%}, four {four.mean():.1%}, eight "
        f"{eight.mean():.1%}. {words[order]}",
    )
    shown = frame.dots(lesson, mine)
    frame.show_figure(
        "lesson-heads",
        plots.measured_dots(shown, quantity="Accuracy on new scenes", guessing=0.2),
        "Validation accuracy with one, two, four and eight heads",
    )
    frame.show_measurements(
        lesson, {"Difference of heads": ("apart", ".0%"), "On the object": ("on_object", ".0%")}, own=shown
    )
    st.caption(
        "*Difference of heads*: the share of the class token's attention that would have to move to turn one head's "
        "map "
        "into another's, mean over pairs of heads. *On the object*: the share of its attention to patches that is on "
        f"the object, mean over heads; evenly spread attention would have {one.mean('by_area'):.0%}."
    )
    st.markdown(
        f"**The heads differ.** Between two of four heads, {four.mean('apart'):.0%} of the attention differs, between "
        f"two of eight heads {eight.mean('apart'):.0%}: they do not attend to the same patches. This does not mean "
        "that "
        "*every* head is needed. In networks with several blocks, many heads can be switched off with little loss "
        "(Michel et al. 2019); see *Importance* on the Heads page."
    )
    st.page_link(
        "heads/page.py",
        label="See which heads of the included model matter",
        icon=":material/hub:",
        query_params={"run": SHIPPED_RUN, "view": "Importance"},
    )
    frame.provenance("heads")
frame.go_on(lesson)
