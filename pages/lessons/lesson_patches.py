"""Lesson: patch size, accuracy, cost, and the resolution of maps."""

import streamlit as st

from pages.lessons import experiment, frame
from pages.ui.wording import count
from vit import lessons, plots
from vit.lessons import EXPERIMENTS, contrast

lesson, text, marks = frame.begin("patches")
variants = EXPERIMENTS["patches"]
figures = {variant.name: lessons.stored().of("patches", variant.name) for variant in variants}

guessed = frame.guess(lesson, text)
frame.more(text)
mine = experiment.show_experiment(lesson)
frame.own_links(
    lesson,
    mine,
    ("p16", "p8", "p4"),
    {"Attention of the class token": ("attention/page.py", ":material/visibility:", {"token": "0", "image": "val-3"})},
)

if guessed := frame.answer(lesson, guessed):
    best = max(variants, key=lambda variant: figures[variant.name].mean())
    others = [v for v in variants if v is not best and contrast(figures[best.name], figures[v.name]) == "similar"]
    finest, coarsest = figures[variants[-1].name], figures[variants[0].name]
    close = f" (not distinguishable: {', '.join(v.title for v in others)})" if others else ""
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
    shown = frame.dots(lesson)
    frame.show_figure(
        "lesson-patches",
        plots.measured_dots(shown, quantity="Accuracy on new scenes", guessing=experiment.GUESSING),
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
        f"{variants[1].title} it is {figures['p16'].mean('on_object'):.0%}. A coarse map cannot follow an outline."
    )
    frame.provenance("patches", "*CPU seconds*: on one thread.")
frame.go_on(lesson, marks)
