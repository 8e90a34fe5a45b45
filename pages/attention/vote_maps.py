"""The view "Votes": for every head, the patches that its vote for a class comes from."""

import numpy as np
import streamlit as st
from PIL import Image

from pages.ui import cached_models, run_picker
from pages.ui.downloads import downloads
from pages.ui.text import plain
from pages.ui.view_pickers import advanced, pick_against, pick_class, pick_head, pick_layer
from pages.ui.widgets.map_grid import Selection, TileMaps, TileNote, is_smooth, map_grid, scale_controls
from pages.ui.wording import term
from vit.classes import class_names_of
from vit.config import TransformerConfig
from vit.explain.heads.votes import votes
from vit.explain.maps.target import Target
from vit.pictures import overlays
from vit.runs import Run

VOTES = (
    "Each tile splits the vote of one head for the class by the patch that it was copied from: orange patches vote for "
    "the class, blue ones against it. The number is the vote of the whole head. It is the direct effect alone: what "
    "later layers make of a head's output counts as their vote."
)
NO_VOTES = "This model gives features and no classes, so no head votes for a class."


def show_vote_maps(
    run: Run, config: TransformerConfig, look: cached_models.Look, picked: cached_models.PickedImage
) -> None:
    """Show a tile for every head with its votes by source patch.

    Raises:
        ExplainError: the network mixes positions, so votes have no source patch.
    """
    names = class_names_of(run.config)
    if not names:
        run_picker.show_no_classes(run, NO_VOTES)
        return
    st.caption(VOTES, help=term("vote"))
    depth, heads = look.attention.shape[:2]
    controls = st.container(horizontal=True, vertical_alignment="bottom")
    with controls:
        label = pick_class(names, names[int(look.probabilities.argmax())], help="The class that is voted for.")
        against = pick_against(names, label)
        scale_controls()
    model, info = cached_models.load_model(run)
    target = Target(names.index(label), None if against is None else names.index(against))
    found = votes(model, cached_models.model_input(info, picked.image), target, look.record)
    sources = found.require_sources()[0].astype(np.float32)  # l h m
    by_head = found.by_head()[0]
    record = look.record
    strongest = np.unravel_index(np.abs(by_head).argmax(), by_head.shape)
    with controls, advanced():
        layer = pick_layer(depth, default=int(strongest[0]) + 1)
        head = pick_head(heads, default=int(strongest[1]) + 1)
    map_grid(
        TileMaps(
            maps=lambda tokens: np.repeat(sources[None, None], len(tokens), axis=1),
            image=cached_models.looked_at(run, picked.image),
            version=f"{cached_models.version(run, picked.id)}/votes/{target.label}/{target.against}",
            grid=record.grid,
            prefix=record.prefix_tokens,
            pool=record.pool,
            row_names=[f"Layer {number}" for number in range(1, depth + 1)],
            column_names=[f"Head {number}" for number in range(1, heads + 1)],
            title="Votes of every head",
            quantity="vote",
            signed=True,
            shares=False,
            pairs=False,
            tile_notes=[TileNote(role=f"{vote:+.2f}".replace("-", "−")) for vote in by_head.ravel()],
        ),
        Selection(token=0, row=layer, column=head, patches=False, summary=False),
        key="vote_grid",
    )
    explained = f"logit of {plain(label)}" + (f" minus that of {plain(against)}" if against else "")
    rest = float(found.logit[0]) - by_head.sum()
    st.caption(
        f"The {explained} is {float(found.logit[0]):+.2f}: heads {by_head.sum():+.2f}, the rest (embedding, MLPs and "
        f"biases) {rest:+.2f}.".replace("-", "−")
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        downloads(
            f"{run.name}-{picked.id}-votes",
            key="vote_maps",
            picture=lambda: _picture(run, picked, sources[:, :, record.prefix_tokens :], record.grid),
            arrays=lambda: {"sources": sources, "heads": by_head, "logit": found.logit[0]},
            table=lambda: [
                {"layer": at[0] + 1, "head": at[1] + 1, "vote": float(vote)} for at, vote in np.ndenumerate(by_head)
            ],
        )
        st.page_link(
            "heads/page.py",
            label="All votes, and the weights of a head",
            icon=":material/how_to_vote:",
            query_params={"run": run.name, "view": "Votes", "image": picked.id},
        )


def _picture(run: Run, picked: cached_models.PickedImage, patches: np.ndarray, grid: tuple[int, int]) -> Image.Image:
    view, maps = cached_models.view_of(run, picked.image), patches.reshape(*patches.shape[:2], *grid)
    top = overlays.shared_top(np.abs(maps))
    depth, heads = maps.shape[:2]
    pictures = [overlays.signed_overlay(view, one, top=top, smooth=is_smooth()) for one in maps.reshape(-1, *grid)]
    titles = [f"layer {layer}, head {head}" for layer in range(1, depth + 1) for head in range(1, heads + 1)]
    return overlays.titled_grid(pictures, titles, columns=heads)
