"""Lesson: patch size, accuracy, cost, and the resolution of maps."""

import streamlit as st

from pages.lessons import frame
from pages.ui.wording import count
from vit import lessons, plots
from vit.lessons import EXPERIMENTS, contrast

lesson = frame.begin("patches")
mine = frame.own_runs(lesson)
variants = EXPERIMENTS["patches"]
figures = {variant.name: lessons.stored().of("patches", variant.name) for variant in variants}
size = variants[0].config.model.image_size

guessed = frame.guess(
    lesson,
    f"The same network cuts {size} px scenes into patches of {size}, 16, 8 or 4 px. Which network classifies most of "
    "them correctly?",
    [variant.title for variant in variants],
)

frame.background(
    "One linear map turns a patch into one token. Attention compares different patches, never pixels within a patch. "
    "An image of side $S$ in patches of side $P$ has",
    r"N = (S/P)^2 \text{ tokens;} \qquad \text{a block costs } \underbrace{8 N e^2}_{\text{maps, MLP}} + "
    r"\underbrace{2 N^2 e}_{\text{attention}}",
    "multiplications (with an MLP of twice the token's width $e$). Half the patch side means four times the tokens and "
    "sixteen times the pairs. An attention map has one number per patch: **no map has more detail than its patches**, "
    "however smoothly it is drawn.",
)

frame.set_up(
    lesson,
    mine,
    f"Depth {variants[0].vit_config.depth}, four heads, {variants[0].config.training.epochs} epochs. With one patch "
    "there are no others to attend to, and the network is an MLP on pixels.",
)
frame.look_for(
    "**Train**, *All settings*: *Tokens* and *Expected time* as you move the slider *Patch size*.",
    "**Attention**: the same image with large and with small patches.",
    "**Parameters**: they decrease with the patch size, because a small patch has fewer pixels to map.",
)
frame.own_links(
    lesson,
    mine,
    ("p16", "p8", "p4"),
    {"Attention of the class token": ("attention/page.py", ":material/visibility:", {"token": "0", "image": "val-3"})},
)

if guessed := frame.answer(guessed):
    best = max(variants, key=lambda variant: figures[variant.name].mean())
    others = [v for v in variants if v is not best and contrast(figures[best.name], figures[v.name]) == "similar"]
    finest, coarsest = figures[variants[-1].name], figures[variants[0].name]
    close = f" (no measurable difference: {', '.join(v.title for v in others)})" if others else ""
    frame.verdict(
        guessed,
        guessed if guessed in [variant.title for variant in others] else best.title,
        f"{best.title} has the highest accuracy, {figures[best.name].mean():.1%}{close}. "
        + (
            "With this training the smallest patches are best, as the textbook expects."
            if best is variants[-1]
            else "So with this training, smaller patches are not always better: more tokens are also harder to learn "
            "from."
        ),
    )
    shown = frame.dots(lesson, mine)
    frame.show_figure(
        "lesson-patches",
        plots.measured_dots(shown, quantity="Accuracy on new scenes", guessing=0.2),
        "Validation accuracy with patches of 32, 16, 8 and 4 pixels",
    )
    frame.show_measurements(
        lesson, {"CPU seconds": ("seconds", ".0f"), "On the object": ("on_object", ".0%")}, own=shown
    )
    tokens = variants[-1].vit_config.grid ** 2
    if contrast(coarsest, figures["p16"]) == "better":
        st.markdown(
            f"**Larger patches are not always worse.** {variants[0].title} ({coarsest.mean():.1%}) is better than "
            f"{variants[1].title} ({figures['p16'].mean():.1%}): with a single patch, the network is an MLP that sees "
            f"all pixels at once, with {count(variants[0].parameters)} parameters instead of "
            f"{count(variants[1].parameters)}."
        )
    st.markdown(
        f"**Cost.** {tokens} tokens took {finest.mean('seconds') / coarsest.mean('seconds'):.1f} times the CPU seconds "
        "of one token. The factor is smaller than the number of tokens because reading, augmenting and validating "
        "images costs the same.\n\n"
        f"**Maps.** With {variants[-1].title}, {finest.mean('on_object'):.0%} of the class token's attention in the "
        f"last block is on the object, which covers {finest.mean('by_area'):.0%} of the image; with "
        f"{variants[1].title} it is {figures['p16'].mean('on_object'):.0%}. A coarse map cannot follow an outline, "
        "whatever the network has learned."
    )
    frame.provenance("patches", "*CPU seconds*: on one thread.")
frame.go_on(lesson)
