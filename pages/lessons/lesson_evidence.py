"""Lesson: whether attention explains a prediction, tested on the included model."""

import streamlit as st

from pages import access
from pages.lessons import frame
from vit import lessons, plots
from vit.config import ViTConfig
from vit.lessons.texts import BOTH_MAPS, NEITHER_MAP, ONLY_GRADIENT
from vit.plots.lessons import Dot
from vit.runs import SHIPPED_RUN

lesson, text, marks = frame.begin("evidence")
found = lessons.stored().faithfulness
assert found is not None, "the measurements come with the project"
attention, rollout, relevance = (found.row(name) for name in ("last", "rollout", "chefer"))
passed = [bool(row.deletion_better and row.insertion_better) for row in (attention, relevance)]

guessed = frame.guess(lesson, text)
frame.more(text)

st.subheader("Experiment", anchor=False)
st.markdown("Nothing to train: four views of one image with the included model. Open them in this order.")
included = next((run for run in access.my_runs() if run.name == SHIPPED_RUN), None)
if included and isinstance(included.config.model, ViTConfig):
    image = {"run": SHIPPED_RUN, "image": "val-2"}
    for label, page, icon, query in (
        (
            "1. What its heads attend to",
            "attention/page.py",
            ":material/visibility:",
            image | {"token": "0", "layer": str(included.config.model.depth)},
        ),
        ("2. Attention of all layers, weighted by the gradient", "relevance/page.py", ":material/blur_on:", image),
        (
            "3. Cover patches by attention",
            "faithfulness/page.py",
            ":material/fact_check:",
            image | {"method": attention.title},
        ),
        (
            "4. Cover patches by relevance",
            "faithfulness/page.py",
            ":material/fact_check:",
            image | {"method": relevance.title},
        ),
    ):
        st.page_link(page, label=label, icon=icon, query_params=query)
else:
    st.caption("The included model is missing. Open Faithfulness with a run of your own.")
    st.page_link("faithfulness/page.py", label="Faithfulness", icon=":material/fact_check:")

if guessed := frame.answer(lesson, guessed):
    right = {(True, True): BOTH_MAPS, (False, True): ONLY_GRADIENT, (False, False): NEITHER_MAP}.get(
        (passed[0], passed[1])
    )
    blob = found.row("gaussian")
    frame.verdict(
        guessed,
        right or "Only the attention of the last layer",
        f"The deletion area (smaller is better) is {attention.deletion:.3f} for the last layer's attention, "
        f"{relevance.deletion:.3f} for relevance weighted by the gradient, and {blob.deletion:.3f} for a centred blob.",
    )
    with st.grid(2, min_column_width=360, gap="large") as grid:
        for field, title in (("deletion", "Deletion: smaller is better"), ("insertion", "Insertion: larger is better")):
            with grid.cell():
                st.markdown(f"**{title}**")
                areas = [(row, getattr(row, field)) for row in found.rows]
                rows = [Dot(row.title, area, area, area, chance=row.chance) for row, area in areas]
                frame.show_figure(
                    f"lesson-evidence-{field}",
                    plots.measured_dots(rows, quantity="Area under the curve", form=".2f"),
                    f"Area under the {field} curve of three maps and of control maps",
                )
    said = {True: "better than controls", False: "not better than controls"}
    st.table(
        [
            {
                "Map": row.title,
                "Deletion": f"{row.deletion:.3f}",
                "Insertion": f"{row.insertion:.3f}",
                "On the object": f"{row.inside:.0%}",
                "Result (deletion, insertion)": "control map"
                if row.chance
                else f"{said[bool(row.deletion_better)]}, {said[bool(row.insertion_better)]}",
            }
            for row in found.rows
        ],
        hide_index=True,
    )
    most = max((attention, rollout, relevance), key=lambda row: row.inside)
    st.markdown(
        f"**A plausible map can be wrong.** {most.title} is most on the object: {most.inside:.0%} of the map, compared "
        f"with {blob.inside:.0%} of the centred blob. Still, covering the patches with the most attention does "
        + ("" if passed[0] else "not ")
        + "lower the probability faster than covering the centre. Being on the object is what *people* look for; the "
        "curves show what the network uses.\n\n"
        "**Limits.** This is one small network on drawn scenes, and covered images are unlike those it was trained on. "
        "Measure your own run before you trust or reject its maps."
    )
    st.caption(
        f"Measured by `{lessons.COMMAND} --only faithfulness` on {found.images} validation images, with the model that "
        "was included before: 8 x 8 patches, 2 layers, the mean of the patches. “Better than "
        "controls” means: the 95 % bootstrap interval of the paired differences to the best control map, untrained "
        "weights included, is above zero. `python -m benchmarks.faithfulness` prints all methods and intervals."
    )
frame.go_on(lesson, marks)
