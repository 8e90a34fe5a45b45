"""Lesson: when attention is no explanation, on the run that comes with the project."""

import streamlit as st

from pages import access
from pages.lessons import frame
from vit import lessons, plots
from vit.plots.lessons import Dot
from vit.runs import SHIPPED_RUN

BOTH, ONLY_RELEVANCE, NEITHER = (
    "Both are evidence",
    "Only the map that is weighted by the gradient",
    "Neither: both are decoration",
)

lesson = frame.begin("evidence")
found = lessons.stored().faithfulness
attention, rollout, relevance = (found.row(name) for name in ("last", "rollout", "chefer"))
beaten = [row.deletion_better and row.insertion_better for row in (attention, relevance)]

guessed = frame.guess(
    lesson,
    "Two maps of why the included model says cat: the attention of its last layer, and attention followed through all "
    "layers, weighted by its gradient for *cat*. Cover the patches that a map calls important, and the answer should "
    "fall faster than with a map that knows nothing, such as a bump in the middle. Whose does?",
    (BOTH, ONLY_RELEVANCE, NEITHER),
)

frame.background(
    "Attention says **where a token takes from**. It does not say what it takes (that is the value), nor whether the "
    "answer needs it: the next layers may drop it. Networks can be given quite other attention at the same answer "
    "(Jain and Wallace 2019), though that does not make attention worthless (Wiegreffe and Pinter 2019).\n\n"
    "So a map has to be tested. *Deletion* covers the patches from the most important on and watches the probability "
    "$p$ of the answer; *insertion* shows them one after the other on a covered image (Petsiuk et al. 2018). One "
    "number for each is the area under the curve, over $K$ steps:",
    r"\mathrm{AUC} = \tfrac{1}{K} \sum_{k=1}^{K} \tfrac{1}{2}\,(p_{k-1} + p_k)",
    "Deletion should be small, insertion large. Small or large *against what*? Against maps that know nothing. Objects "
    "are mostly near the middle, so a bump in the middle is a hard one to beat.",
)

st.subheader("Set it up", anchor=False)
st.markdown("Nothing to train: the included model, one image, four views. Open them in this order.")
if any(run.shipped for run in access.my_runs()):
    image = {"run": SHIPPED_RUN, "image": "val-2"}
    for label, page, icon, query in (
        (
            "1. What its heads attend to",
            "attention/page.py",
            ":material/visibility:",
            image | {"token": "0", "layer": "2"},
        ),
        ("2. The same followed and weighted", "relevance/page.py", ":material/blur_on:", image),
        ("3. Cover by attention", "faithfulness/page.py", ":material/fact_check:", image | {"method": attention.title}),
        ("4. Cover by relevance", "faithfulness/page.py", ":material/fact_check:", image | {"method": relevance.title}),
    ):
        st.page_link(page, label=label, icon=icon, query_params=query)
else:
    st.caption("The run that comes with the project is not here; open Faithfulness with one of your own.")
    st.page_link("faithfulness/page.py", label="Faithfulness", icon=":material/fact_check:")
frame.look_for(
    "**Attention**: it lies on the object nicely. Would you have taken it for the reason?",
    "**Faithfulness**, *Step by step*: after how many patches does the probability fall?",
    "**Faithfulness**, *Measure*: the bump in the middle, and the same method on untrained weights.",
)

if frame.answer(guessed):
    right = {(True, True): BOTH, (False, True): ONLY_RELEVANCE, (False, False): NEITHER}.get(tuple(beaten))
    bump = found.row("gaussian")
    frame.verdict(
        guessed,
        right or "Only the attention of the last layer",
        f"Covered by the last layer's attention the area is {attention.deletion:.3f}, by weighted relevance "
        f"{relevance.deletion:.3f}, by a bump in the middle {bump.deletion:.3f} (less is better).",
    )
    with st.grid(2, min_column_width=360, gap="large") as grid:
        for field, title in (("deletion", "Deletion: less is better"), ("insertion", "Insertion: more is better")):
            with grid.cell():
                st.markdown(f"**{title}**")
                rows = [Dot(row.title, *[getattr(row, field)] * 3, chance=row.chance) for row in found.rows]
                frame.show_figure(
                    f"lesson-evidence-{field}",
                    plots.measured_dots(rows, quantity="Area under the curve", form=".2f"),
                    f"Area under the {field} curve of three maps and of maps that know nothing",
                )
    said = {True: "better than chance", False: "no better than chance"}
    st.table(
        [
            {
                "Map": row.title,
                "Deletion": f"{row.deletion:.3f}",
                "Insertion": f"{row.insertion:.3f}",
                "On the object": f"{row.inside:.0%}",
                "On deletion, insertion": "a map that knows nothing"
                if row.chance
                else f"{said[row.deletion_better]}, {said[row.insertion_better]}",
            }
            for row in found.rows
        ],
        hide_index=True,
    )
    lies = max((attention, rollout, relevance), key=lambda row: row.inside)
    st.markdown(
        f"**What looks right need not be right.** {lies.title} lies most on the object, {lies.inside:.0%} of it, "
        f"against {bump.inside:.0%} of the bump; yet covering what attention points at does "
        + ("" if beaten[0] else "not ")
        + "take the answer away faster than covering the middle. Lying on the object is what *people* look for; the "
        "curves ask the network.\n\n"
        "**What it does not say.** This is one small network on drawn scenes, and covered images are unlike any that "
        "it was trained on. Measure on your own run before you believe, or doubt, its maps."
    )
    st.caption(
        f"Measured by `{lessons.COMMAND} --only faithfulness` on {found.images} validation images; better than chance: "
        "the 95 % bootstrap interval of the paired differences to the best map that knows nothing, untrained weights "
        "included, is above zero. `python -m benchmarks.faithfulness` prints all methods and intervals."
    )
frame.go_on(lesson)
