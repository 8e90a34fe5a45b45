"""The picture at the top of each lesson, drawn from scenes, settings and the attention of the included model."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from einops import rearrange
from PIL import Image, ImageDraw

from vit.config import ViTConfig
from vit.data import scenes
from vit.lessons.experiments import Variant
from vit.pictures.colours import PALETTE, rgb
from vit.pictures.overlays import overlay, shared_top
from vit.runs.example import AttentionExample

SIDE = 192
"""Side of a panel in pixels."""

SCENE = 3
"""The validation scene of the lessons without a model."""

COVERED = 1 / 4
"""Share of the patches that the lesson on evidence covers."""

SHUFFLE_SEED = 1

Grid = tuple[int, int]


class Panel(NamedTuple):
    """One image of a lesson's picture.

    Attributes:
        image: the image.
        title: a few words below it.
        alt: what the image shows.
    """

    image: Image.Image
    title: str
    alt: str


def patch_panels(variants: Sequence[Variant]) -> list[Panel]:
    """Cut one scene into the patches of each variant."""
    pixels, label = _scene(variants[0].config.model.image_size)
    found = []
    for variant in variants:
        grid = variant.vit_config.grid
        words = f"The {label} in {grid**2} patch{'es' if grid > 1 else ''}"
        found.append(Panel(_cut(pixels, grid), variant.title, words))
    return found


def block_panels(variants: Sequence[Variant]) -> list[Panel]:
    """Draw each variant's blocks as squares whose sides are the token's width: equal areas are equal parameters.

    The parameters of a block grow with the square of the width. The stripes are the heads.
    """
    tallest = max(variant.vit_config.depth * variant.vit_config.embed_dim for variant in variants)
    found = []
    for variant in variants:
        model = variant.vit_config
        words = (
            f"{model.depth} square{'s' if model.depth > 1 else ''} of width {model.embed_dim}, one above the other, "
        )
        found.append(
            Panel(_blocks(model, tallest), variant.title, f"{words}each divided into {model.num_heads} stripes")
        )
    return found


def head_panels(example: AttentionExample, size: int, seed: int, grid: Grid, prefix: int) -> list[Panel]:
    """Draw the class token's map of each head in the last layer, and their mean.

    Args:
        example: the attention of a validation scene.
        size: side of the image that the model gets, in pixels.
        seed: seed of the data set.
        grid: rows and columns of patches.
        prefix: number of tokens before the patches; the first of them is the class token.
    """
    pixels, _, label = scenes.draw(example.image, split="val", image_size=size, seed=seed)
    maps = class_token_maps(example, grid, prefix)
    together, name = [*maps, maps.mean(axis=0)], scenes.CLASSES[label]
    titles = [*(f"Head {head}" for head in range(1, len(maps) + 1)), "Mean of the heads"]
    top = shared_top(np.stack(together))
    shown = [
        Panel(overlay(pixels, one, top=top, side=SIDE), title, f"{title}: the patches of the {name} that it attends to")
        for one, title in zip(together, titles, strict=True)
    ]
    return [Panel(_enlarged(pixels), "The image", f"A scene with the class {name}"), *shown]


def cover_panels(example: AttentionExample, size: int, seed: int, grid: Grid, prefix: int) -> list[Panel]:
    """Draw a scene, its attention map, and the scene twice with some of its patches covered.

    The covered patches are those with the most attention, and those nearest the centre. The map is the class token's
    attention in the last layer, mean over heads. The arguments are those of :func:`head_panels`.
    """
    from vit.explain.faithfulness.chance_maps import gaussian  # its package imports torch

    pixels, _, label = scenes.draw(example.image, split="val", image_size=size, seed=seed)
    heat, blob = class_token_maps(example, grid, prefix).mean(axis=0), gaussian(grid, 0, example.image)
    name, count = scenes.CLASSES[label], round(COVERED * grid[0] * grid[1])
    return [
        Panel(_enlarged(pixels), "The image", f"A scene with the class {name}"),
        Panel(
            overlay(pixels, heat, top=shared_top(heat), side=SIDE),
            "Attention of the last layer",
            f"The attention of the class token on the {name}",
        ),
        Panel(
            _enlarged(covered(pixels, heat, example.image)),
            f"The {count} most attended patches covered",
            f"The {name} without the patches with most attention",
        ),
        Panel(
            _enlarged(covered(pixels, blob, example.image)),
            f"The {count} patches nearest the centre covered",
            f"The {name} without the patches at the centre",
        ),
    ]


def class_token_maps(example: AttentionExample, grid: Grid, prefix: int) -> np.ndarray:
    """Return the class token's attention to the patches in the last layer, ``(h rows columns)``."""
    return example.attention[-1, :, 0, prefix:].reshape(-1, *grid)


def covered(pixels: np.ndarray, heat: np.ndarray, number: int) -> np.ndarray:
    """Cover the patches with the largest values with the image's mean colour.

    Args:
        pixels: the image, ``(h w c)`` uint8.
        heat: the map, ``(rows columns)``.
        number: the number of the image, which decides between equal values.

    Returns:
        The image, ``(h w c)`` uint8.
    """
    import torch  # not needed by the other pictures

    from vit.explain.faithfulness.chance_maps import order
    from vit.explain.interventions.cover import cover

    chosen = np.zeros(heat.size, dtype=bool)
    chosen[order(heat, 0, number)[: round(COVERED * heat.size)]] = True
    image = torch.from_numpy(rearrange(pixels, "h w c -> 1 c h w").astype(np.float32))
    result = cover(image, chosen.reshape(heat.shape))[0].round().numpy().astype(np.uint8)
    return rearrange(result, "c h w -> h w c")


def little_panels(variants: Sequence[Variant]) -> list[Panel]:
    """Draw all images of the smallest training set, one image as a convolution reads it, and its patches shuffled.

    The places of the patches are not built into a network on linear patches: it learns its position embedding.

    Args:
        variants: the runs of the lesson; the last is the network on linear patches.
    """
    model = variants[-1].vit_config
    images = min(variant.config.data.train_images or 0 for variant in variants)
    pixels, label = _scene(model.image_size)
    return [
        Panel(_sheet(images, model.image_size), f"A training set of {images} images", f"{images} small scenes"),
        Panel(
            _windows(pixels),
            "A convolution reads neighbours everywhere",
            f"The {label} with four overlapping squares of 3 by 3 pixels",
        ),
        Panel(
            _cut(shuffled(pixels, model.grid), model.grid),
            "Linear patches: the order is learned",
            f"The {model.grid**2} patches of the {label} in random order",
        ),
    ]


def shuffled(pixels: np.ndarray, grid: int) -> np.ndarray:
    """Return the image with its patches in random order, ``(h w c)`` uint8."""
    patches = _patches(pixels, grid)
    chosen = patches[np.random.default_rng(SHUFFLE_SEED).permutation(len(patches))]
    return rearrange(chosen, "(r c) y x k -> (r y) (c x) k", r=grid)


def _patches(pixels: np.ndarray, grid: int) -> np.ndarray:
    """Return the patches of an image ``(h w c)`` row by row, ``(p y x c)``."""
    return rearrange(pixels, "(r y) (c x) k -> (r c) y x k", r=grid, c=grid)


def _scene(size: int) -> tuple[np.ndarray, str]:
    pixels, _, label = scenes.draw(SCENE, split="val", image_size=size)
    return pixels, scenes.CLASSES[label]


def _enlarged(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.NEAREST)


def _cut(pixels: np.ndarray, grid: int) -> Image.Image:
    """Draw the patches of an image with gaps between them."""
    gap = max(2, round(24 / grid)) if grid > 1 else 0
    side = (SIDE - gap * (grid - 1)) // grid
    picture = Image.new("RGBA", (SIDE, SIDE))
    start = (SIDE - grid * side - gap * (grid - 1)) // 2
    for index, patch in enumerate(_patches(pixels, grid)):
        row, column = divmod(index, grid)
        small = Image.fromarray(patch).resize((side, side), Image.Resampling.NEAREST)
        picture.paste(small, (start + column * (side + gap), start + row * (side + gap)))
    return picture


def _sheet(count: int, size: int) -> Image.Image:
    """Draw the first training scenes as small images in a square."""
    columns = int(np.ceil(np.sqrt(count)))
    side = SIDE // columns
    picture = Image.new("RGBA", (SIDE, SIDE))
    for index in range(count):
        small = Image.fromarray(scenes.draw(index, image_size=size)[0]).resize((side - 1, side - 1))
        picture.paste(small, (index % columns * side, index // columns * side))
    return picture


def _windows(pixels: np.ndarray) -> Image.Image:
    """Outline four overlapping places of one 3 x 3 filter."""
    picture, step = _enlarged(pixels), SIDE // pixels.shape[0]
    pen = ImageDraw.Draw(picture)
    for place in range(4):
        left, top = (9 + 2 * place) * step, (7 + 2 * place) * step
        pen.rectangle((left, top, left + 3 * step, top + 3 * step), outline="white", width=2)
    return picture


def _blocks(model: ViTConfig, tallest: int) -> Image.Image:
    """Draw the blocks of a network, the first at the bottom; ``tallest`` tokens' widths fit above each other."""
    gap = 4
    side = round((SIDE - 3 * gap) * model.embed_dim / tallest)
    picture, stripe = Image.new("RGBA", (SIDE, SIDE)), side / model.num_heads
    pen, left = ImageDraw.Draw(picture), (SIDE - side) // 2
    for block in range(model.depth):
        bottom = SIDE - block * (side + gap)
        for head in range(model.num_heads):
            shade = tuple(round(part + (255 - part) * (0.45 if head % 2 else 0)) for part in rgb(PALETTE["blue"]))
            box = (left + head * stripe, bottom - side, left + (head + 1) * stripe - 1, bottom - 1)
            pen.rectangle(box, fill=shade)
    return picture
