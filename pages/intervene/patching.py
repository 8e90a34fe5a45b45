"""Patch from another image: copy activations of one image into the run of another, one by one or as a group."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from pages.intervene.head_controls import parse_text_field, rerun_if_changed
from pages.intervene.patching_boards import base_image, choose, sheet, show_board, show_token_map, token_picture
from pages.intervene.patching_help import DIRECTIONS, SITE_MEANINGS, SITES, WHAT_IT_IS
from pages.intervene.patching_mean import show_mean
from pages.intervene.patching_pair import PickedPair, pick_pair
from pages.ui import cached_models, link_state
from pages.ui.downloads import downloads, plotly_config
from pages.ui.text import plain, show_error
from pages.ui.view_pickers import pick_segment
from pages.ui.wording import term
from vit import plots
from vit.classes import class_names_of
from vit.config import TransformerConfig
from vit.cost.counts import count
from vit.errors import UserError
from vit.explain.maps.target import Target
from vit.explain.patching.patch import (
    TOKEN_SITES,
    Direction,
    PatchRuns,
    Place,
    Site,
    attribute_each,
    patch_each,
    patch_paths,
    patched_logits,
    places_from_text,
    places_to_text,
    rank_correlation,
    record_runs,
)
from vit.explain.recording import class_probabilities
from vit.pictures import overlays
from vit.runs import Run

INTRO = (
    "Copy activations from one image's run into the run of another image. Where the answer follows, the activation "
    "carries what the two images differ in."
)

EXACT_FLOPS = 1e12
"""The effects are estimated by gradients where exact patching takes more operations than this."""


@dataclass(frozen=True)
class Question:
    """What is patched and what is compared.

    Attributes:
        site: what is copied.
        direction: which run is patched.
        label, against: indices of the two classes.
        estimated: whether the effects are estimated by gradients.
    """

    site: Site
    direction: Direction
    label: int
    against: int
    estimated: bool


@st.fragment
def show_patching(run: Run, config: TransformerConfig, picked: cached_models.PickedImage) -> None:
    """Show the controls, the effects of all patches, and the answer with a chosen group of them."""
    st.caption(INTRO, help=term("activation patching", "logit difference"))
    names = class_names_of(run.config)
    try:
        pair = pick_pair(run, picked)
        if pair is None:
            return
        question = choose_question(run, config, names, pair)
        path, stamp, _ = cached_models.measured_on(run)
        compared = (question.label, question.against, question.direction)
        key = RunsKey(path, stamp, pair.clean, pair.corrupt, *compared)
        runs = pair_runs(key)
        show_pair(pair, runs, names, question)
        if runs.undefined:
            st.info(plain(runs.undefined), icon=":material/info:")
        else:
            show_effects(run, config, pair, question, key)
        show_mean(run, pair.change, question.site, question.direction, estimated=question.estimated)
        show_command(run, names, question)
    except UserError as error:
        show_error(error)
    with st.expander("How to read activation patching, and its limits", icon=":material/help:"):
        st.markdown(WHAT_IT_IS)


def choose_question(run: Run, config: TransformerConfig, names: Sequence[str], pair: PickedPair) -> Question:
    """Show the controls for the site, the direction and the two classes."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        site = pick_segment("Copy", "site", SITES, "head")
        direction = pick_segment(
            "Direction",
            "direction",
            DIRECTIONS,
            "denoise",
            help="Into the corrupt image (denoising): what is enough for the clean answer. Into the clean image "
            "(noising): what the clean answer needs.",
        )
        probabilities = [cached_models.prediction(run, image).probabilities for image in (pair.clean, pair.corrupt)]
        label = int(probabilities[0].argmax()) if pair.label is None else pair.label
        link_state.one_of("class", names)
        chosen = st.selectbox(
            "Class A",
            names,
            index=None,
            placeholder=f"{names[label]} (clean image)",
            key="class",
            bind="query-params",
            width=190,
            help="The effect is measured on the logit of A minus that of B.",
        )
        label = label if chosen is None else names.index(chosen)
        rest = np.where(np.arange(len(names)) == label, -1, probabilities[1])
        against = pair.other if pair.other not in (None, label) else int(rest.argmax())
        assert against is not None
        link_state.one_of("against", [name for name in names if name != names[label]])
        compared = st.selectbox(
            "Class B",
            [name for name in names if name != names[label]],
            index=None,
            placeholder=f"{names[against]} (corrupt image)",
            key="against",
            bind="query-params",
            width=190,
        )
        against = against if compared is None else names.index(compared)
        slow = operations(config, site) > EXACT_FLOPS
        estimated = st.toggle(
            "Estimate by gradient",
            value=slow,
            key="estimate_slow" if slow else "estimate",
            bind="query-params",
            help="Attribution patching: all effects from one backward pass, to first order. For large models and first "
            "looks (Syed et al. 2023).",
        )
    st.caption(SITE_MEANINGS[site])
    return Question(site, direction, label, against, estimated)


def operations(config: TransformerConfig, site: Site) -> float:
    """Estimate the operations of patching every unit: each pass computes half of the layers on average."""
    units = config.num_tokens if site in TOKEN_SITES else config.num_heads
    return count(config).flops * config.depth * units / 2


class RunsKey(NamedTuple):
    """What the runs of a pair depend on; caches recognise them by it."""

    path: str
    stamp: int
    clean: Image.Image
    corrupt: Image.Image
    label: int
    against: int
    direction: Direction


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=cached_models.image_key)
def pair_runs(key: RunsKey) -> PatchRuns:
    """Return the recorded runs of a pair, which all sessions share."""
    model, info = cached_models.load_path(key.path, key.stamp)
    clean, corrupt = (cached_models.model_input(info, image) for image in (key.clean, key.corrupt))
    return record_runs(model, clean, corrupt, Target(key.label, key.against), key.direction)


@st.cache_data(max_entries=32, show_spinner="Patching", hash_funcs=cached_models.image_key)
def effects(key: RunsKey, site: Site, *, estimated: bool) -> np.ndarray:
    """Return the effect of patching every unit of a site, ``(l u)``."""
    runs = pair_runs(key)
    return runs.effect(attribute_each(runs, site) if estimated else patch_each(runs, site))


def show_pair(pair: PickedPair, runs: PatchRuns, names: Sequence[str], question: Question) -> None:
    """Show both images with their logit differences."""
    classes = f"{plain(names[question.label])} − {plain(names[question.against])}"
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        for title, image, words, difference in (
            ("Clean", pair.clean, pair.clean_words, runs.clean),
            ("Corrupt", pair.corrupt, pair.corrupt_words, runs.corrupt),
        ):
            with st.container(width=170):
                st.image(image, width=150, alt=f"{title} image")
                st.caption(f"**{title}**: {plain(words)}. LD {difference:+.2f}".replace("-", "−"))
        with st.container(width=150):
            downloads(
                "patching-pair",
                key="patch_pair",
                picture=lambda: overlays.titled_grid([pair.clean, pair.corrupt], ["clean", "corrupt"], columns=2),
                arrays=lambda: {"clean": np.asarray(pair.clean), "corrupt": np.asarray(pair.corrupt)},
            )
    st.caption(f"LD is the logit difference {classes}.")


def show_effects(run: Run, config: TransformerConfig, pair: PickedPair, question: Question, key: RunsKey) -> None:
    """Show the effects of all units, and the answer with the chosen ones patched together."""
    site, runs = question.site, pair_runs(key)
    found = effects(key, site, estimated=question.estimated)
    shape = (found.shape[0], found.shape[1])
    chosen = parse_text_field("patched", lambda text: places_from_text(text, shape), places_to_text)
    with st.grid(2, min_column_width=330, gap="large") as row:
        left, right = row.cell(), row.cell()
    with left:
        if site in TOKEN_SITES:
            show_token_map(config, found, chosen, pair, runs)
        else:
            show_board(found, chosen)
        shown = st.text_input(
            "Patched places as text",
            key="patched",
            bind="query-params",
            placeholder="none",
            help="The same text as in the link: layer and number of the head or token, with - between places.",
        )
        with st.container(horizontal=True):
            st.button("Reset", icon=":material/restart_alt:", key="patched_reset", on_click=choose, args=((),))
            downloads(
                f"{run.name}-patching-{site}",
                key="patching",
                picture=lambda: (
                    token_picture(found, config, np.asarray(base_image(pair, runs)))
                    if site in TOKEN_SITES
                    else plots.head_sheet(*sheet(found))
                ),
                arrays=lambda: {"effect": found, "clean": np.array(runs.clean), "corrupt": np.array(runs.corrupt)},
                table=lambda: [
                    {"layer": layer + 1, "unit": unit + 1, "effect": float(value)}
                    for (layer, unit), value in np.ndenumerate(found)
                ],
            )
        rerun_if_changed(shown, places_to_text(chosen))
        st.caption(_say_agreement(key, site, found, estimated=question.estimated))
    with right:
        show_answer(run, runs, site, chosen)
        if site == "head" and len(chosen) == 1 and chosen[0][0] < config.depth - 1:
            show_paths(runs, chosen[0])


def _say_agreement(key: RunsKey, site: Site, found: np.ndarray, *, estimated: bool) -> str:
    if estimated:
        return "Estimated by one backward pass, to first order; switch the estimate off for exact effects."
    correlation = rank_correlation(found, effects(key, site, estimated=True))
    if np.isnan(correlation):
        return ""
    verdict = "agrees with" if correlation >= 0.9 else "differs from"
    return f"The estimate by gradient {verdict} these exact effects: rank correlation {correlation:.2f}."


def show_answer(run: Run, runs: PatchRuns, site: Site, chosen: Sequence[Place]) -> None:
    """Show the answer of the base and with the chosen places patched."""
    names = class_names_of(run.config)
    model = cached_models.load_model(run)[0]
    base = "corrupt" if runs.direction == "denoise" else "clean"
    if not chosen:
        st.markdown(f"##### Choose places to patch into the {base} image's run")
        return
    logits = patched_logits(runs, [(site, chosen)])
    difference = runs.target.score(logits).item()
    effect = float(runs.effect(difference))
    unit = "token" if site in TOKEN_SITES else "head"
    what = f"{len(chosen)} {unit}{'' if len(chosen) == 1 else 's'}"
    st.markdown(
        f"##### With {what} patched, LD goes from {runs.base_difference:+.2f} to {difference:+.2f}: effect "
        f"{effect:+.2f}".replace("-", "−")
    )
    before, after = (class_probabilities(model, one)[0] for one in (runs.base.logits, logits))
    st.plotly_chart(
        plots.probability_change(names, before, after),
        key="patched_bars",
        config=plotly_config("patched-answer"),
        alt=f"Class probabilities of the {base} image before and after the patch",
    )


def show_paths(runs: PatchRuns, sender: Place) -> None:
    """Show the effect of the direct paths from one head to each later head."""
    found = runs.effect(patch_paths(runs, sender))
    st.markdown(f"**Direct paths from layer {sender[0] + 1}, head {sender[1] + 1}**")
    later = found[sender[0] + 1 :]
    rows = [
        {"To": f"layer {sender[0] + 2 + layer}"} | {f"head {head + 1}": float(value) for head, value in enumerate(row)}
        for layer, row in enumerate(later)
    ]
    st.dataframe(
        rows,
        hide_index=True,
        column_config={name: st.column_config.NumberColumn(format="%.4f") for name in rows[0] if name != "To"},
        alt="Effect of each path",
        key="patched_paths",
    )
    st.caption(
        "Only the receiver sees the change of the sender, through its queries, keys and values; all other heads and "
        "MLPs between them keep their outputs (Goldowsky-Dill et al. 2023)."
    )


def show_command(run: Run, names: Sequence[str], question: Question) -> None:
    """Show the command that computes the same effects."""
    with st.expander("On the command line", icon=":material/terminal:"):
        extra = (" --direction noise" if question.direction == "noise" else "") + (
            " --estimate" if question.estimated else ""
        )
        st.code(
            f"python -m vit patch --run {shlex.quote(run.name)} --clean clean.png --corrupt corrupt.png "
            f"--site {question.site} --class {shlex.quote(names[question.label])} "
            f"--against {shlex.quote(names[question.against])}{extra} --json",
            language="bash",
            wrap_lines=True,
        )
