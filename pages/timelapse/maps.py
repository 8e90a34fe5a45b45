"""The time-lapse's maps: in the browser, where they are played, and as a film to take along."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from pages.timelapse.frames import method_maps
from pages.ui import link_state
from pages.ui.cached_models import PickedImage, is_convolutional
from pages.ui.downloads import downloads
from pages.ui.text import plain
from pages.ui.view_pickers import pick_token_layer_head
from pages.ui.widgets.map_grid import Selection, TileMaps, map_grid, scale_controls
from vit.data.files.images import fit_square
from vit.pictures import film
from vit.runs import Run, snapshots

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.timelapse import TimeLapse

HEADS = "Every head"
MIMES = {".gif": "image/gif", ".mp4": "video/mp4"}


class Scene(NamedTuple):
    """What is filmed: one image of one run at some epochs, one of which is looked at; ``history`` is the metrics'."""

    run: Run
    picked: PickedImage
    epochs: Sequence[int]
    epoch: int
    history: Mapping[int, Mapping]

    @property
    def place(self) -> int:
        """Which of the epochs is looked at."""
        return self.epochs.index(self.epoch)

    @property
    def view(self) -> np.ndarray:
        """The image as the network sees it, ``(h w c)`` uint8."""
        data = self.run.config.data
        return fit_square(self.picked.image, data.image_size, data.crop_pct, data.interpolation)

    def titles(self, shown: str) -> list[str]:
        """One for each picture of a film."""
        return [film.epoch_title(one, self.history.get(one, {}).get("val_accuracy"), shown) for one in self.epochs]

    def version(self, *what: object) -> str:
        """Names the maps: run, image, snapshots and what they show."""
        kept = (f"{epoch}:{snapshots.stamp(self.run, epoch)}" for epoch in self.epochs)
        return "/".join(map(str, (self.run.name, self.run.config.created, self.picked.id, *kept, *what)))

    def file_name(self, what: str) -> str:
        """Of a download."""
        return f"{self.run.name}-{self.picked.id}-{what}"


def choose_maps(run: Run) -> str:
    """What the maps show, bound to ``?method=``: :data:`HEADS`, or the name of a method that gives one map."""
    from vit.explain import methods_for

    titles = {name: method.title for name, method in methods_for(run.config.model).items()}
    first = next(iter(titles))
    if not is_convolutional(run):
        first, titles = HEADS, {HEADS: HEADS} | titles
    link_state.named("method", titles)
    chosen = st.selectbox(
        "Maps",
        list(titles),
        index=None,
        format_func=titles.get,
        placeholder=titles[first],
        key="method",
        bind="query-params",
        width=260,
        help="The raw attention of every head, or the one map that a relevance method makes of the whole network.",
    )
    return chosen or first


def show_heads(scene: Scene, lapse: "TimeLapse") -> None:
    """Every head's attention, epoch by epoch."""
    first = lapse.frames[0]
    depth, heads = first.attention.shape[:2]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        token, layer, head = pick_token_layer_head(depth, heads, first.grid)
        scale_controls()
    map_grid(
        TileMaps(
            maps=lapse.rows,
            image=scene.picked.image,
            version=scene.version(),
            grid=first.grid,
            prefix=first.prefix_tokens,
            pool=first.pool,
            row_names=[f"Layer {number}" for number in range(1, depth + 1)],
            column_names=[f"Head {number}" for number in range(1, heads + 1)],
            frames=scene.epochs,
        ),
        Selection(token=token, row=layer, column=head, frame=scene.place),
        key="lapse",
    )
    layers, columns = range(1, depth + 1), range(1, heads + 1)
    _take_along(
        scene,
        "heads",
        lambda: film.head_pictures(
            scene.view, lapse.maps(token), layers, columns, scene.titles(film.token_title(token, first.grid))
        ),
        {"attention": lambda: lapse.attention, "token": lambda: np.array(token)},
    )


def show_method(scene: Scene, method: str, label: int) -> None:
    """The map of a method for a class, epoch by epoch.

    Raises:
        ExplainError: the network cannot give this map.
        RunError: a snapshot is gone or damaged.
    """
    from vit.explain import METHODS
    from vit.explain.timelapse import as_shares

    title, signed = METHODS[method].title, METHODS[method].signed
    about = f"{title} for {scene.run.config.data.class_names[label]}" if METHODS[method].for_class else title
    with st.container(horizontal=True, vertical_alignment="bottom"):
        scale_controls()
    st.caption(f"**{plain(about)}** ({METHODS[method].source}). {METHODS[method].what} {METHODS[method].caution}")
    maps = method_maps(scene.run, scene.picked.image, scene.epochs, method, label)
    shares = as_shares(maps)
    map_grid(
        TileMaps(
            maps=lambda _: shares.reshape(len(maps), 1, 1, 1, -1),
            image=scene.picked.image,
            version=scene.version(method, label),
            grid=maps.shape[1:],
            prefix=0,
            pool="all",
            row_names=[""],
            column_names=[""],
            title=title,
            quantity="share of the map",
            signed=signed,
            shares=False,
            frames=scene.epochs,
        ),
        Selection(token=0, frame=scene.place, patches=False, keys=("lapse_token", "lapse_row", "lapse_column")),
        key="lapse",
    )
    _take_along(
        scene,
        method,
        lambda: film.map_pictures(scene.view, maps, scene.titles(about), signed=signed),
        {"relevance": lambda: maps},
    )


def _take_along(
    scene: Scene,
    what: str,
    pictures: Callable[[], list[Image.Image]],
    arrays: Mapping[str, Callable[[], np.ndarray]],
) -> None:
    """The film, the picture of the chosen epoch, and the numbers of all."""
    name = scene.file_name(what)
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.popover("Film", icon=":material/movie:", key="film"):
            seconds = st.slider(
                "Seconds per epoch", 0.2, 3.0, film.SECONDS, 0.1, format="%.1f s", key="pace", persist_state="session"
            )
            for kind, mime in MIMES.items():
                make = film.MAKERS[kind]
                st.download_button(
                    f"Film as {kind[1:].upper()}",
                    lambda make=make: make(pictures(), seconds),
                    file_name=f"{name}{kind}",
                    mime=mime,
                    key=f"film_{kind[1:]}",
                    on_click="ignore",
                    width="stretch",
                )
            st.caption("A GIF plays in every document and chat; an MP4 is smaller and sharper.")
        downloads(
            name,
            key="lapse_maps",
            picture=lambda: pictures()[scene.place],
            arrays=lambda: {"epochs": np.array(scene.epochs)} | {key: make() for key, make in arrays.items()},
        )
