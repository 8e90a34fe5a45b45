"""Lesson: more heads or more depth at about the same number of parameters."""

import streamlit as st

from pages.lessons import frame
from vit import lessons, plots
from vit.lessons import EXPERIMENTS, contrast

HEADS, DEPTH, SAME = "Four times the heads", "Four times the depth", "No difference: same parameter count"
RIGHT = {"better": DEPTH, "worse": HEADS, "similar": SAME}
GAIN = {"better": "is better", "worse": "is worse", "similar": "is not measurably different"}

lesson = frame.begin("depth")
mine = frame.own_runs(lesson)
base, wider, deeper = EXPERIMENTS["depth"]
plain, heads, depth = (lessons.stored().of("depth", variant.name) for variant in EXPERIMENTS["depth"])
width, narrow = base.vit_config.embed_dim, deeper.vit_config.embed_dim

guessed = frame.guess(
    lesson,
    f"One block of width {width} with two heads has {base.parameters:,} parameters. Give it eight heads, which keeps "
    f"the parameters, or replace it by four blocks of width {narrow} ({deeper.parameters:,} parameters). Which network "
    "classifies more scenes correctly after the same number of epochs?",
    (HEADS, DEPTH, SAME),
)

frame.background(
    "The parameters of a block grow with the square of the width $e$; the depth $L$ multiplies them:",
    r"\text{parameters} \approx L \cdot (4 + 2r)\, e^2 \qquad (r = \text{MLP ratio})",
    "A block of half the width has a quarter of the parameters, so four such blocks have as many as one wide block. "
    "Dividing the width among more heads adds no parameters.\n\n"
    "Depth allows **attention built on earlier attention**: in the second block, a patch already contains information "
    "that it copied in the first. One block can find an ear and a tail, but not *an ear next to a tail*: for that, the "
    "position of one must first reach the other. More heads only attend more often to the same, unmixed patches. So "
    "the textbook expects depth to win. Deep networks also need longer before their loss falls.",
)

frame.set_up(
    lesson,
    mine,
    "Linear patches and a class token again, "
    f"{base.vit_config.grid} × {base.vit_config.grid} patches, {base.config.training.epochs} epochs.",
)
frame.look_for(
    "**Curves**: the deep network may start more slowly. Does it overtake the others?",
    "**Attention** of the deep network: does the first block attend by position, and the last by content?",
    "**Tokens**, *Logit lens*: in which block does the prediction appear?",
)
frame.own_links(
    lesson,
    mine,
    (base.name, wider.name, deeper.name),
    {
        "Attention": ("attention/page.py", ":material/visibility:", {"token": "0"}),
        "Logit lens": ("tokens/page.py", ":material/apps:", {"aspect": "Logit lens"}),
    },
)

if guessed := frame.answer(guessed):
    order = contrast(depth, heads)
    words = {
        "better": "Depth helps more than heads, as the textbook expects.",
        "worse": "With this short training, heads help more than depth, contrary to the textbook.",
        "similar": "At this size and with this short training, depth does not help more than heads, contrary to the "
        "textbook.",
    }
    frame.verdict(
        guessed,
        RIGHT[order],
        f"Accuracy on new scenes: one wide block with two heads {plain.mean():.1%}, with eight heads "
        f"{heads.mean():.1%}, four narrow blocks {depth.mean():.1%}. {words[order]}",
    )
    shown = frame.dots(lesson, mine)
    frame.show_figure(
        "lesson-depth",
        plots.measured_dots(shown, quantity="Accuracy on new scenes", guessing=0.2),
        "Validation accuracy of one wide block with two heads, one wide block with eight, and four narrow blocks",
    )
    frame.show_measurements(
        lesson, {"CPU seconds": ("seconds", ".0f"), "Difference of heads": ("apart", ".0%")}, own=shown
    )
    dearer = depth.mean("seconds") / plain.mean("seconds")
    st.markdown(
        f"**Compared with the wide block with two heads:** the network with eight heads "
        f"{GAIN[contrast(heads, plain)]}; the network with four narrow blocks {GAIN[contrast(depth, plain)]}.\n\n"
        f"**The same parameters do not take the same time.** Four narrow blocks took {dearer:.1f} times the CPU "
        "seconds "
        "of the wide one. The cost of comparing pairs of tokens grows with depth, not with the parameters. And because "
        "the class is predicted from the class token, the last block computes only that token, so a single block is "
        "cheap."
    )
    frame.provenance("depth", "*CPU seconds*: on one thread.")
frame.go_on(lesson)
