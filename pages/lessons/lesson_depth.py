"""Lesson: more heads or more depth, at about equal parameters."""

import streamlit as st

from pages.lessons import frame
from vit import lessons, plots
from vit.lessons import EXPERIMENTS, contrast

HEADS, DEPTH, ALIKE = "Four times the heads", "Four times the depth", "Alike: the parameters are as many"
RIGHT = {"better": DEPTH, "worse": HEADS, "alike": ALIKE}
GAIN = {"better": "is better", "worse": "is worse", "alike": "does as well, as far as can be told"}

lesson = frame.begin("depth")
mine = frame.own_runs(lesson)
base, wider, deeper = EXPERIMENTS["depth"]
plain, heads, depth = (lessons.stored().of("depth", variant.name) for variant in EXPERIMENTS["depth"])
width, narrow = base.config.model.embed_dim, deeper.config.model.embed_dim

guessed = frame.guess(
    lesson,
    f"One block of width {width} with two heads has {base.parameters:,} parameters. Give it eight heads, as many "
    f"parameters; or make it four blocks of width {narrow}, {deeper.parameters:,}. Which names more scenes after as "
    "many epochs?",
    (HEADS, DEPTH, ALIKE),
)

frame.background(
    "A block's parameters go with the square of its width $e$; its depth $L$ multiplies them:",
    r"\text{parameters} \approx L \cdot (4 + 2r)\, e^2 \qquad (r = \text{MLP ratio})",
    "Half the width makes a block a quarter as large, so four of them cost what one wide one does. Dividing the width "
    "among more heads costs nothing at all.\n\n"
    "What depth buys is **looks at looks**: in the second block a patch already holds something of what it looked at "
    "in the first. One block can find an ear and a tail, but not *an ear beside a tail*: for that the one's place must "
    "first get into the other. More heads only take more looks at the same, unmixed patches. So the textbook expects "
    "depth to win. Deep networks also take longer to get going.",
)

frame.set_up(
    lesson,
    mine,
    "Linear patches and a class token again, "
    f"{base.config.model.grid} × {base.config.model.grid} patches, {base.config.training.epochs} epochs.",
)
frame.look_for(
    "**Curves**: the deep one may start later. Does it overtake?",
    "**Attention** of the deep one: the first block looks by place, the last by what is there.",
    "**Tokens**, *Logit lens*: in which block does the answer appear?",
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

if frame.answer(guessed):
    order = contrast(depth, heads)
    words = {
        "better": "Looks at looks are worth more than more looks, as the textbook has it.",
        "worse": "In so little training more looks are worth more than looks at looks, against the textbook.",
        "alike": "At this size, and in so little training, depth does not pay more than heads, against the textbook.",
    }
    frame.verdict(
        guessed,
        RIGHT[order],
        f"Two heads in one wide block name {plain.mean():.1%} of new scenes, eight heads {heads.mean():.1%}, four "
        f"narrow blocks {depth.mean():.1%}. {words[order]}",
    )
    shown = frame.dots(lesson, mine)
    frame.show_figure(
        "lesson-depth",
        plots.measured_dots(shown, quantity="Accuracy on new scenes", guessing=0.2),
        "Validation accuracy of one wide block with two heads, of one with eight, and of four narrow blocks",
    )
    frame.show_measurements(lesson, {"Processor": ("seconds", ".0f"), "Heads apart": ("apart", ".0%")}, own=shown)
    dearer = depth.mean("seconds") / plain.mean("seconds")
    st.markdown(
        f"**Each against the wide block with two heads.** With eight heads it {GAIN[contrast(heads, plain)]}; made of "
        f"four narrow blocks it {GAIN[contrast(depth, plain)]}.\n\n"
        f"**Equal parameters are not equal time.** Four narrow blocks took {dearer:.1f} times the processor seconds of "
        "the wide one. What attention computes from pairs of tokens goes with depth, not with the parameters; and as "
        "the answer is read from the class token, the last block computes that token alone, so one block is cheap."
    )
    frame.provenance("depth", "*Processor*: seconds on one thread.")
frame.go_on(lesson)
