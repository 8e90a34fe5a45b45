"""Lesson: more heads or more depth at about the same number of parameters."""

import streamlit as st

from pages.lessons import experiment, frame
from vit import lessons, plots
from vit.lessons import EXPERIMENTS, contrast
from vit.lessons.texts import FOUR_TIMES_DEPTH, FOUR_TIMES_HEADS, SAME

RIGHT = {"better": FOUR_TIMES_DEPTH, "worse": FOUR_TIMES_HEADS, "similar": SAME}
GAIN = {"better": "is better", "worse": "is worse", "similar": "is not distinguishable"}

lesson, text, marks = frame.begin("depth")
base, wider, deeper = EXPERIMENTS["depth"]
plain, heads, depth = (lessons.stored().of("depth", variant.name) for variant in EXPERIMENTS["depth"])

guessed = frame.guess(lesson, text)
frame.more(text)
mine = experiment.show_experiment(lesson)
frame.own_links(
    lesson,
    mine,
    (base.name, wider.name, deeper.name),
    {
        "Attention": ("attention/page.py", ":material/visibility:", {"token": "0"}),
        "Logit lens": ("tokens/page.py", ":material/apps:", {"aspect": "Logit lens"}),
    },
)

if guessed := frame.answer(lesson, guessed):
    order = contrast(depth, heads)
    words = {
        "better": "Depth helps more than heads, as the textbook expects.",
        "worse": "Heads help more than depth here, contrary to the textbook.",
        "similar": "More depth and more heads are not distinguishable here: the advantage of depth does not show after "
        "this training.",
    }
    frame.verdict(
        guessed,
        RIGHT[order],
        f"Accuracy on new scenes: one wide block with two heads {plain.mean():.1%}, with eight heads "
        f"{heads.mean():.1%}, four narrow blocks {depth.mean():.1%}. {words[order]}",
    )
    shown = frame.dots(lesson)
    frame.show_figure(
        "lesson-depth",
        plots.measured_dots(shown, quantity="Accuracy on new scenes", guessing=experiment.GUESSING),
        "Validation accuracy of one wide block with two heads, one wide block with eight, and four narrow blocks",
    )
    frame.show_measurements(
        lesson, {"CPU seconds": ("seconds", ".0f"), "Difference of heads": ("apart", ".0%")}, own=shown
    )
    dearer = depth.mean("seconds") / plain.mean("seconds")
    st.markdown(
        f"**Against the wide block with two heads:** the network with eight heads {GAIN[contrast(heads, plain)]}; the "
        f"network with four narrow blocks {GAIN[contrast(depth, plain)]}.\n\n"
        f"**The same parameters do not take the same time.** Four narrow blocks took {dearer:.1f} times the CPU "
        "seconds of the wide one: the cost of comparing pairs of tokens grows with depth, and because the class is "
        "predicted from the class token, the last block computes only that token, so a single block is cheap."
    )
    frame.provenance("depth", "*CPU seconds*: on one thread.")
frame.go_on(lesson, marks)
