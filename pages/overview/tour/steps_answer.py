"""The tour, steps 5 and 6: the summary token, and the prediction."""

from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st
from PIL import Image

from pages.overview.tour import claims
from pages.overview.tour.choice import TourImage
from pages.overview.tour.scene import link, vit_config, vit_model
from pages.ui import cached_models
from pages.ui.text import plain
from pages.ui.widgets.boards import head_board, patch_board
from pages.ui.widgets.map_grid import Selection, TileMaps, map_grid
from vit import plots
from vit.pictures.colours import CATEGORICAL
from vit.runs import Run

GATHERS = {
    "cls": "One more token, the **class token**, belongs to no patch. It attends to all patches in every layer and "
    "collects what the prediction needs. After the last layer, the class is predicted from it.",
    "mean": "After the last layer, this network takes the **mean of all patch tokens** as a summary of the whole image "
    "and predicts the class from it, so every patch contributes.",
}
EARLIER = (
    "Apply the same classifier after each earlier layer, and you watch the answer emerge (a *logit lens*): the lines "
    "show what the network would predict if it stopped there."
)


def show_summary(run: Run, scene: TourImage) -> None:
    """Show step 5."""
    from vit.explain import prominent_classes, summary_lens

    model, _ = vit_model(run)
    look = cached_models.look(run, scene.picked)
    names = run.config.data.class_names
    states = ["Before layer 1", *(f"After layer {number}" for number in range(1, vit_config(run).depth + 1))]
    lens, true = summary_lens(model, look.record)[0], names.index(scene.picked.label)
    st.markdown(f"{GATHERS[look.record.pool]} {EARLIER}")
    with st.grid(2, min_column_width=340, gap="large") as cells:
        with cells.cell():
            draw_gathering(run, scene, look, states, int(lens[-1].argmax()))
        with cells.cell():
            st.plotly_chart(
                plots.lens_curves(
                    lens, states, names, prominent_classes(lens, None, always=[true], limit=len(CATEGORICAL)), true=true
                ),
                key="tour_lens",
                alt="What the network would predict after each layer, one line per class",
            )
    st.markdown(object_words(run, scene, look, names))
    st.markdown(f"{story(names, states, lens)} {claims.settled(names, lens, true)}")
    link(
        "tokens/page.py",
        "See what each patch would predict",
        ":material/apps:",
        run,
        scene,
        aspect="Logit lens",
        token=0,
    )


def object_words(run: Run, scene: TourImage, look: cached_models.Look, names: Sequence[str]) -> str:
    """Return how much of the answer comes from the object's patches."""
    from vit.explain import image_facts

    name = scene.picked.label or ""
    if look.record.pool == "cls":
        shares = image_facts.object_shares(look.record, look.attention, scene.cover)
        return claims.object_attention(shares, float(scene.cover.mean()), name)
    from_patches = image_facts.predicted_from_patches(vit_model(run)[0], look.record)[-1]
    inside, outside = (float(np.average(from_patches, weights=part)) for part in (scene.cover, 1 - scene.cover))
    return claims.object_prediction(inside, outside, name, names[int(look.probabilities.argmax())])


def story(names: Sequence[str], states: Sequence[str], lens: np.ndarray) -> str:
    """Return the predictions after each layer, from probabilities ``(l k)``, as a sentence."""
    said = (
        f"{claims.lower(state)} it would predict **{plain(names[int(row.argmax())])}** ({row.max():.0%})"
        for state, row in zip(states, lens, strict=True)
    )
    text = ", ".join(said)
    return f"{text[:1].upper()}{text[1:]}."


def draw_gathering(run: Run, scene: TourImage, look: cached_models.Look, states: Sequence[str], label: int) -> None:
    """Show what the class token attends to in each layer, or with mean pooling, what each patch would predict."""
    record = look.record
    if record.pool == "cls":
        from vit.explain import token_rows

        values = token_rows(record, look.attention, 0).mean(axis=1)
        title, quantity, columns = "Attention of the class token, mean of the heads", "attention", states[1:]
    else:
        from vit.explain import token_lens

        values = token_lens(vit_model(run)[0], record)[0][:, :, label]
        name = run.config.data.class_names[label]
        title, quantity, columns = f"Probability of “{name}” from each patch's token", "probability", states
    map_grid(
        TileMaps(
            maps=lambda tokens: values[None, None, None],
            image=scene.picked.image,
            version=f"{cached_models.version(run, scene.picked.id)}/summary",
            grid=record.grid,
            prefix=record.prefix_tokens,
            pool=record.pool,
            row_names=[""],
            column_names=columns,
            title=title,
            quantity=quantity,
            shares=record.pool == "cls",
            pairs=False,
        ),
        Selection(
            token=0, column=len(columns), patches=False, enlarges=False, keys=("tour_token", "tour_row", "tour_column")
        ),
        key="tour_summary",
    )


def show_decision(run: Run, scene: TourImage) -> None:
    """Show step 6."""
    from pages.intervene.patch_controls import ImageChange
    from pages.intervene.result import answer_change, answer_image, patch_grid
    from vit.explain.image_facts import patches_on_and_beside
    from vit.explain.interventions.head_changes import Change, changes_to_text
    from vit.explain.interventions.patch_changes import patches_to_text

    model, names = vit_config(run), run.config.data.class_names
    of = f"tour_changes/{scene.picked.id}"  # every image has its own changes
    covered, off = st.session_state.get(of, ((), ()))
    changes = changes_to_text(Change(layer, head, "zero") for layer, head in off)
    before = answer_image(run, scene.picked.image)
    after = answer_image(run, scene.picked.image, changes, ImageChange(covered, "mean", 0))
    st.markdown(
        "A last learned matrix turns the summary into one score per class, and a softmax turns the scores into "
        "probabilities. Does the answer depend on what you expect? **Cover patches** with a click or **switch heads "
        "off**, and see how it changes."
    )
    st.markdown(
        answer_change(names, before.answer.probabilities, after.answer.probabilities)
        if covered or off
        else f"Without changes, the model predicts **{plain(names[int(before.answer.probabilities.argmax())])}**, "
        f"{before.answer.probabilities.max():.1%}."
    )
    on, beside = patches_on_and_beside(scene.cover)
    label = int(before.answer.probabilities.argmax())
    st.markdown(
        claims.covering(
            scene.picked.label or "",
            names[label],
            float(before.answer.probabilities[label]),
            (len(on), covered_probability(run, scene.picked.image, on, label)),
            (len(beside), covered_probability(run, scene.picked.image, beside, label)),
        )
    )
    with st.grid(3, min_column_width=250, gap="medium") as cells:
        with cells.cell():
            st.markdown("**Cover patches**")
            patch_board(
                after.view,
                covered,
                patch_grid(run),
                key="tour_cover",
                on_cover=lambda patches: st.session_state.update({of: (tuple(patches), off)}),
            )
            with st.container(horizontal=True):
                for key, title, patches in (
                    ("object", f"Cover the {plain(scene.picked.label or 'object')}", on),
                    ("beside", "Cover as many beside it", beside),
                ):
                    st.button(
                        title,
                        key=f"tour_cover_{key}",
                        disabled=not patches,
                        on_click=st.session_state.update,
                        args=({of: (patches, off)},),
                    )
        with cells.cell():
            st.markdown("**Switch heads off**")
            draw_switches(
                (model.depth, model.num_heads), off, lambda heads: st.session_state.update({of: (covered, heads)})
            )
            st.button(
                "Undo all",
                icon=":material/undo:",
                key="tour_undo",
                disabled=not (covered or off),
                on_click=lambda: st.session_state.pop(of, None),
            )
        with cells.cell():
            st.markdown("**The answer**")
            st.plotly_chart(
                plots.probability_change(
                    names, before.answer.probabilities.tolist(), after.answer.probabilities.tolist()
                ),
                key="tour_bars",
                alt="Class probabilities before and after your changes",
            )
    st.latex(r"p = \operatorname{softmax}(W z_\text{summary} + b)")
    view = {"covered": patches_to_text(covered), "changes": changes}
    link(
        "intervene/page.py",
        "Change heads and patches on Intervene",
        ":material/tune:",
        run,
        scene,
        **{name: text for name, text in view.items() if text},
    )


@cached_models.cached
def covered_probability(run: Run, image: Image.Image, covered: tuple[int, ...], label: int) -> float:
    """Return the probability of a class after patches are covered with the mean colour."""
    from pages.intervene.patch_controls import ImageChange
    from pages.intervene.result import answer_image

    return float(answer_image(run, image, "", ImageChange(covered, "mean", 0)).answer.probabilities[label])


def draw_switches(
    shape: claims.Place, off: tuple[claims.Place, ...], choose: Callable[[tuple[claims.Place, ...]], None]
) -> None:
    """Show a button for each head; a row or column label switches all of its heads.

    Args:
        shape: number of layers and of heads.
        off: the heads that are switched off.
        choose: called with the heads that are off after a click.
    """
    depth, heads = shape

    def take(layer: int, head: int) -> None:
        meant = {
            (one, other)
            for one in ([layer] if layer else range(1, depth + 1))
            for other in ([head] if head else range(1, heads + 1))
        }
        choose(tuple(sorted(set(off) - meant if meant <= set(off) else set(off) | meant)))

    places = [[(layer, head) for head in range(1, heads + 1)] for layer in range(1, depth + 1)]
    words = [["off" if place in off else "on" for place in row] for row in places]
    head_board(
        words,
        np.array([[float(word == "off") for word in row] for row in words]),
        [
            [f"Layer {layer}, head {head}: {word}" for (layer, head), word in zip(row, said, strict=True)]
            for row, said in zip(places, words, strict=True)
        ],
        key="tour_heads_off",
        label="Heads, one row per layer: click to switch a head off, click again to switch it on",
        pressed=list(off),
        on_pick=take,
        groups=True,
    )
