"""The maps of a time-lapse: played in the browser, and exported as films."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
from pages.ui.widgets.map_grid import Selection, TileMaps, is_smooth, map_grid, scale_controls
from vit.config import words
from vit.config.words import SUMMARIES
from vit.data.files.images import fit_square
from vit.pictures import film
from vit.runs import Run, snapshots

if TYPE_CHECKING:  # torch comes with the first model
    from vit.explain.timelapse import TimeLapse

HEADS = "Every head"
MIMES = {".gif": "image/gif", ".mp4": "video/mp4"}


class Playback(NamedTuple):
    """What a time-lapse shows.

    Attributes:
        run: the run.
        picked: the image.
        epochs: the epochs with a frame.
        epoch: the chosen one.
        history: the metrics of each epoch.
        probabilities: ``(frame k)``, what each epoch predicts.
    """

    run: Run
    picked: PickedImage
    epochs: Sequence[int]
    epoch: int
    history: Mapping[int, Mapping]
    probabilities: np.ndarray

    @property
    def notes(self) -> list[str]:
        """The predicted class of each frame, which the browser shows with the frame while it plays."""
        names = self.run.config.data.class_names
        return [f"{names[int(row.argmax())]}, {row.max():.1%}" if row.size else "" for row in self.probabilities]

    @property
    def place(self) -> int:
        """The index of the chosen epoch."""
        return self.epochs.index(self.epoch)

    @property
    def input_image(self) -> np.ndarray:
        """The image at the network's input size, ``(h w c)`` uint8."""
        data = self.run.config.data
        return fit_square(self.picked.image, data.image_size, data.crop_pct, data.interpolation)

    def titles(self, shown: str) -> list[str]:
        name = words.accuracy(self.run.config.training, start=False)
        return [
            film.epoch_title(one, self.history.get(one, {}).get("val_accuracy"), shown, name) for one in self.epochs
        ]

    def version(self, *what: object) -> str:
        """Return a key for the maps: run, image, snapshots and what they show."""
        stamps = (f"{epoch}:{snapshots.stamp(self.run, epoch)}" for epoch in self.epochs)
        return "/".join(map(str, (self.run.name, self.run.config.created, self.picked.id, *stamps, *what)))

    def file_name(self, what: str) -> str:
        return f"{self.run.name}-{self.picked.id}-{what}"


def choose_maps(run: Run) -> str:
    """Show the choice of maps, bound to ``?method=``: :data:`HEADS`, or the name of a method with one map."""
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
        format_func=titles.__getitem__,
        placeholder=titles[first],
        key="method",
        bind="query-params",
        width=260,
        help="The raw attention of every head, or the single map of a relevance method.",
    )
    return chosen or first


def show_heads(playback: Playback, lapse: "TimeLapse") -> None:
    """Show the attention of every head, epoch by epoch."""
    first = lapse.frames[0]
    depth, heads = first.attention.shape[:2]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        scale_controls()
        token, layer, head = pick_token_layer_head(depth, heads, first.grid, zero=SUMMARIES[first.pool])
    map_grid(
        TileMaps(
            maps=lapse.rows,
            image=playback.picked.image,
            version=playback.version(),
            grid=first.grid,
            prefix=first.prefix_tokens,
            pool=first.pool,
            row_names=[f"Layer {number}" for number in range(1, depth + 1)],
            column_names=[f"Head {number}" for number in range(1, heads + 1)],
            frames=playback.epochs,
            notes=playback.notes,
        ),
        Selection(token=token, row=layer, column=head, frame=playback.place),
        key="lapse",
    )
    layers, columns = range(1, depth + 1), range(1, heads + 1)
    _show_downloads(
        playback,
        "heads",
        lambda: film.head_pictures(
            playback.input_image,
            lapse.maps(token),
            layers,
            columns,
            playback.titles(film.token_title(token, first.grid, first.pool)),
            smooth=is_smooth(),
        ),
        {"attention": lambda: lapse.attention, "token": lambda: np.array(token)},
    )


def show_method(playback: Playback, method: str, label: int | None) -> None:
    """Show the map of a method, epoch by epoch: for a class, unless the network has none.

    Raises:
        ExplainError: the method is not defined for this network.
        RunError: a snapshot is gone or damaged.
    """
    from vit.explain import METHODS
    from vit.explain.timelapse import as_shares

    title, signed = METHODS[method].title, METHODS[method].signed
    about = title
    if METHODS[method].for_class and label is not None:
        about = f"{title} for {playback.run.config.data.class_names[label]}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        scale_controls()
    st.caption(f"**{plain(about)}** ({METHODS[method].source}). {METHODS[method].what} {METHODS[method].caution}")
    maps = method_maps(playback.run, playback.picked.image, playback.epochs, method, label)
    shares = as_shares(maps)
    map_grid(
        TileMaps(
            maps=lambda _: shares.reshape(len(maps), 1, 1, 1, -1),
            image=playback.picked.image,
            version=playback.version(method, label),
            grid=maps.shape[1:],
            prefix=0,
            pool="all",
            row_names=[""],
            column_names=[""],
            title=title,
            quantity="share of the map",
            signed=signed,
            shares=False,
            frames=playback.epochs,
            notes=playback.notes,
        ),
        Selection(token=0, frame=playback.place, patches=False, keys=("lapse_token", "lapse_row", "lapse_column")),
        key="lapse",
    )
    _show_downloads(
        playback,
        method,
        lambda: film.map_pictures(
            playback.input_image, maps, playback.titles(about), signed=signed, smooth=is_smooth()
        ),
        {"relevance": lambda: maps},
    )


def _show_downloads(
    playback: Playback,
    what: str,
    pictures: Callable[[], list[Image.Image]],
    arrays: Mapping[str, Callable[[], np.ndarray]],
) -> None:
    """Show the downloads: the film, the picture of the chosen epoch, and the numbers of all epochs."""
    name = playback.file_name(what)
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.popover("Film", icon=":material/movie:", key="film"):
            seconds = st.slider(
                "Seconds per epoch", 0.2, 3.0, film.SECONDS, 0.1, format="%.1f s", key="pace", persist_state="session"
            )
            for kind, mime in MIMES.items():
                make = film.MAKERS[kind]
                st.download_button(
                    f"Film as {kind[1:].upper()}",
                    partial(_make_film, make, pictures, seconds),
                    file_name=f"{name}{kind}",
                    mime=mime,
                    key=f"film_{kind[1:]}",
                    on_click="ignore",
                    width="stretch",
                )
            st.caption("A GIF plays in documents and chats. An MP4 is smaller and sharper.")
        downloads(
            name,
            key="lapse_maps",
            picture=lambda: pictures()[playback.place],
            arrays=lambda: {"epochs": np.array(playback.epochs)} | {key: make() for key, make in arrays.items()},
        )


def _make_film(
    make: Callable[[list[Image.Image], float], bytes], pictures: Callable[[], list[Image.Image]], seconds: float
) -> bytes:
    return make(pictures(), seconds)
