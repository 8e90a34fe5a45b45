"""The picture at the top of Overview: what the included model attends to in one image, from the patch pointed at."""

from typing import NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from pages import access
from pages.overview.tour.scene import vit_config
from pages.ui import cached_models
from pages.ui.background import Progress, background
from pages.ui.dependence import note_low_dependence
from pages.ui.run_doubts import show_run_doubts
from pages.ui.widgets.attention_lines import ImageWithObject, attention_lines
from vit.config import ViTConfig
from vit.runs import Run
from vit.runs.example import BYTES_MAX, AttentionExample, object_cover, read_example

DRAWN_SIZE = 224
"""Side of the picture in pixels. Scenes can be drawn at any size; the model usually gets a smaller one."""


class Scene(NamedTuple):
    """A validation scene.

    Attributes:
        image: the scene, larger than the model gets it.
        cover: ``(p)``, the share of each patch that the object covers.
        label: the name of its class.
    """

    image: Image.Image
    cover: np.ndarray
    label: str


def fits(config: ViTConfig) -> bool:
    """Return whether the attention of one image is small enough to be sent to the browser."""
    return config.depth * config.num_heads * config.num_tokens**2 <= BYTES_MAX


def show_hero(run: Run) -> None:
    """Show the picture; the attention is computed in the background if none is stored for the run's weights.

    Args:
        run: a ViT that was trained on scenes, as :func:`pages.overview.tour.scene.tour_run` returns it.
    """
    config = vit_config(run)
    with st.container(key="hero"):
        example = read_example(run) or compute(run)
        if example is None:
            return
        images = run.config.data
        scene = draw(example.image, images.image_size, images.seed, config.grid)
        guess = int(example.probabilities.argmax())
        answer = f"Prediction: {images.class_names[guess]} ({example.probabilities[guess]:.0%})."
        attention_lines(
            example,
            ImageWithObject(
                image=scene.image,
                name=scene.label,
                cover=scene.cover,
                grid=(config.grid, config.grid),
                before=config.prefix_names,
                has_summary=config.pool == "cls",
            ),
            answer=answer + ("" if images.class_names[guess] == scene.label else f" The object: {scene.label}."),
            version=cached_models.version(run, "example", example.image),
            key="hero_lines",
        )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            "attention/page.py",
            label="All maps of this image",
            icon=":material/visibility:",
            query_params={"run": run.name, "image": f"val-{example.image}"},
            width="content",
        )
        st.caption(
            f"Included model, {config.title}. The model gets this image at {images.image_size} px. Its attention is "
            "rounded to 8 bits.",
            width="content",
        )
    show_run_doubts(run)
    note_low_dependence(run)


def compute(run: Run) -> AttentionExample | None:
    """Return the example of a run's weights; None while it is computed, with the progress shown."""
    path, stamp = str(access.see(run).path), run.stamp

    def work(progress: Progress) -> AttentionExample:
        from vit.explain.example import choose_example

        return choose_example(*cached_models.load_path(path, stamp), progress=progress)

    return background(("attention example", path, stamp), work, label="Draw what this model attends to", auto=True)


@st.cache_data(max_entries=8, show_spinner=False)
def draw(index: int, size: int, seed: int, grid: int) -> Scene:
    """Draw a validation scene from its number; the data set is not needed.

    Args:
        index: its number.
        size: side of the image that the model gets.
        seed: of the data set.
        grid: patches along one side.
    """
    from vit.data import scenes

    pixels, _, label = scenes.draw(index, split="val", image_size=max(size, DRAWN_SIZE), seed=seed)
    _, mask, _ = scenes.draw(index, split="val", image_size=size, seed=seed)
    return Scene(Image.fromarray(pixels), object_cover(mask, (grid, grid)), scenes.CLASSES[label])
