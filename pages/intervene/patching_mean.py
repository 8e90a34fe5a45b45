"""The mean effect of patching over many pairs of images."""

from collections.abc import Callable

import numpy as np
import streamlit as st

from pages.intervene.patching_help import CHANGES
from pages.ui import cached_models
from pages.ui.background import background
from pages.ui.downloads import downloads
from pages.ui.view_pickers import pick_segment
from pages.ui.widgets.boards import head_board
from pages.ui.widgets.heat_map import heat_map
from vit import plots
from vit.data.files.images import prepared_image
from vit.data.scenes.pairs import Change
from vit.explain.patching.mean import ImagePair, MeanEffect, mean_effect, scene_pairs, split_pairs
from vit.explain.patching.patch import TOKEN_SITES, Direction, Site
from vit.runs import Run

COUNTS = {"20": "20", "50": "50", "200": "200"}


def show_mean(run: Run, change: Change | None, site: Site, direction: Direction, *, estimated: bool) -> None:
    """Show the mean effect over pairs of this kind, with its 95% interval; it is computed in the background.

    Args:
        run: the run.
        change: the factor that differs between scenes; None for pairs of validation images of different classes.
        site: what is patched.
        direction: which run is patched.
        estimated: whether the effects are estimated by gradients.

    Raises:
        DataError: the data set is missing, or has a single class.
    """
    st.subheader("Mean over many pairs", anchor=False)
    counted = pick_segment("Pairs", "pairs", COUNTS, "20")
    pairs = pairs_of(run, change, int(counted))
    model, info = cached_models.load_model(run)
    kind = CHANGES[change].lower() if change else "validation images of different classes"
    found = background(
        ("mean patching", *cached_models.measured_on(run), change or "", counted, site, direction, estimated),
        lambda progress: mean_effect(
            model,
            pairs,
            lambda image: cached_models.model_input(info, prepared_image(image)),
            site,
            direction,
            by_gradient=estimated,
            progress=progress,
        ),
        label=f"Measure {len(pairs)} pairs",
    )
    st.caption(f"Pairs: {kind}.")
    if found is not None:
        show_effects(run, found)


def pairs_of(run: Run, change: Change | None, count: int) -> list[Callable[[], ImagePair]]:
    """Return pairs of scenes, or of labelled validation images."""
    if change is None:
        return split_pairs(cached_models.labelled_for(run), count)
    data = run.config.data
    return scene_pairs(change, count, image_size=data.image_size, seed=data.seed)


def show_effects(run: Run, found: MeanEffect) -> None:
    """Show the mean effects with their intervals."""
    depth, units = found.mean.shape
    sure = (found.low > 0) | (found.high < 0)
    if found.site in TOKEN_SITES:
        config = run.config.model
        names = [f"token {number}" for number in range(1, units + 1)]
        assert hasattr(config, "prefix_names")
        names[: len(config.prefix_names)] = config.prefix_names
        heat_map(
            found.mean,
            key="mean_map",
            label="Mean effect of patching each token, one row per layer",
            row_names=[f"Layer {number}" for number in range(1, depth + 1)],
            column_names=names,
        )
    else:
        texts = [
            [_text(found.mean[layer, unit], sure=bool(sure[layer, unit])) for unit in range(units)]
            for layer in range(depth)
        ]
        says = [
            [
                f"Layer {layer + 1}, head {unit + 1}: {found.mean[layer, unit]:+.3f}, 95% interval "
                f"{found.low[layer, unit]:+.3f} to {found.high[layer, unit]:+.3f}"
                for unit in range(units)
            ]
            for layer in range(depth)
        ]
        with st.container(width=min(940, 110 + 96 * units)):
            head_board(
                texts,
                np.clip(found.mean, -1, 1) * np.where(sure, 1, 0.35),
                says,
                key="mean_board",
                label="Mean effect of patching each head, one row per layer",
                pressed=(),
                on_pick=lambda layer, head: None,
            )
    left_out = f" {found.left_out} pairs without a difference are left out." if found.left_out else ""
    agreed = ""
    if len(found.agreement):
        agreed = (
            f" Rank correlation of the estimate by gradient with these exact effects: "
            f"median {np.nanmedian(found.agreement):.2f} over the pairs."
        )
    st.caption(
        f"Mean effect over {found.pairs} pairs. Each pair is weighted by how far its images differ in LD, so that "
        "pairs with nearly equal answers have little weight. In brackets: the 95% interval (bootstrap over pairs) "
        f"contains 0.{left_out}{agreed}"
    )
    downloads(
        f"{run.name}-mean-patching-{found.site}",
        key="mean_patching",
        picture=None
        if found.site in TOKEN_SITES
        else lambda: plots.head_sheet(
            [[_text(value, sure=True) for value in row] for row in found.mean], np.clip(found.mean, -1, 1)
        ),
        arrays=lambda: {"mean": found.mean, "low": found.low, "high": found.high, "agreement": found.agreement},
        table=lambda: [
            {
                "layer": layer + 1,
                "unit": unit + 1,
                "mean": float(value),
                "low": float(found.low[layer, unit]),
                "high": float(found.high[layer, unit]),
            }
            for (layer, unit), value in np.ndenumerate(found.mean)
        ],
    )


def _text(value: float, *, sure: bool) -> str:
    text = f"{value:+.2f}".replace("-", "−")
    return text if sure else f"({text})"
