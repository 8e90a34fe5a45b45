"""Read an untrusted safetensors file as the weights of a timm model, without unpickling anything.

Names and shapes come from the header, whose length is limited. They are compared with the network on the meta device
before any memory is allocated.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from vit.errors import UserError
from vit.model import interpolate_positions
from vit.published.architecture import TimmModule
from vit.support.files import HEADER_MAX

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

SUFFIX = ".safetensors"
POSITIONS, PATCHES = "pos_embed", "patch_embed.proj.weight"
_HEAD = ("head.weight", "head.bias")
FLOATS = ("F64", "F32", "F16", "BF16")
_COUNTS = ("I64",)
_FOREIGN_MAX = 5
"""Limit for a file in another layout, as a multiple of the network's size: CLIP's text encoder is twice as large."""


class WrongWeights(UserError):
    """Raised for the weights of another network."""


def shapes_in(path: Path, kinds: tuple[str, ...] = FLOATS) -> dict[str, Shape]:
    """Return the shapes, by name, of the tensors of these dtypes in a file; only its header is read.

    Args:
        path: the file.
        kinds: safetensors names of the dtypes.

    Raises:
        UserError: the file is not a safetensors file, or cannot be read.
    """
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as content:
            parts = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118
            return {name: tuple(it.get_shape()) for name, it in parts.items() if it.get_dtype() in kinds}
    except (SafetensorError, ValueError, RecursionError) as error:
        raise _damaged(path) from error


def head_outputs(shapes: Shapes) -> int:
    """Return the number of outputs of the head; 0 without a head."""
    shape = shapes.get("head.weight", ())
    return shape[0] if len(shape) == 2 else 0


def own_size(shapes: Shapes, model: TimmModule) -> int:
    """Return the image size (pixels) that the position embeddings of a file are for; 0 if unknown."""
    return _side(shapes.get(POSITIONS, ()), model) * model.patch_embed.patch_size[0]


def read(path: Path, model: TimmModule) -> "dict[str, Tensor]":
    """Return all weights of a timm model as float32, with positions resampled to the model's grid.

    Files with other names, such as those of OpenAI, OpenCLIP and Meta, are first converted by timm.

    Args:
        path: the file.
        model: the model on the meta device (:func:`vit.published.architecture.build`), with the number of outputs of
            the file.

    Raises:
        WrongWeights: the file holds other weights.
        UserError: the file is not a safetensors file, or holds numbers that are not finite.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = shapes_in(path)
    native = found.keys() == expected.keys()
    if not native and numbers_in(found) > _FOREIGN_MAX * numbers_in(expected):
        raise _wrong_weights(path, expected, found)
    if native:
        _check(path, expected, found, model)
    weights = _tensors(path, found)
    if not native:
        weights = _to_timm(path, weights, model)
        _check(path, expected, {name: tuple(value.shape) for name, value in weights.items()}, model)
    weights = _finite(path, weights)
    if expected[POSITIONS] != weights[POSITIONS].shape:
        prefix, side = _prefix(model), _side(weights[POSITIONS].shape, model)
        weights[POSITIONS] = interpolate_positions(
            weights[POSITIONS], (side, side), tuple(model.patch_embed.grid_size), prefix
        )
    return weights


def read_exactly(path: Path, expected: Shapes) -> "dict[str, Tensor]":
    """Return the weights of a file that must have exactly these names and shapes, as float32.

    Args:
        path: the file.
        expected: the shapes by name.

    Raises:
        WrongWeights: the file holds other weights.
        UserError: the file is not a safetensors file, or holds numbers that are not finite.
    """
    found = shapes_in(path, (*FLOATS, *_COUNTS))
    if found != expected:
        raise _wrong_weights(path, expected, found)
    return _finite(path, _tensors(path, found))


def numbers_in(shapes: Shapes) -> int:
    """Return the total number of elements of tensors of these shapes."""
    return sum(math.prod(shape) for shape in shapes.values())


def _tensors(path: Path, names: Iterable[str]) -> "dict[str, Tensor]":
    try:
        with safe_open(path, framework="pt") as content:
            return {name: content.get_tensor(name) for name in names}
    except (SafetensorError, ValueError, OSError) as error:
        raise _damaged(path) from error


def _finite(path: Path, weights: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """Check that all numbers are finite, and return floating-point tensors as float32."""
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise UserError(f"{path.name} holds weights that are not finite.")
    return {
        name: (value.float() if value.is_floating_point() else value).contiguous() for name, value in weights.items()
    }


def _check_header(path: Path) -> None:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            begins = file.read(1)
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if begins != b"{" or not 2 <= length <= HEADER_MAX:
        raise UserError(
            f"{path.name} is not a safetensors file. Pickled weights (.bin, .pt, .pth) are never opened, because they "
            "can run programs: use the model's safetensors file."
        )


def _check(path: Path, expected: Shapes, found: Shapes, model: TimmModule) -> None:
    """Check names and shapes. Position embeddings may be of another square grid."""
    for name in expected.keys() | found.keys():
        same = expected.get(name) == found.get(name)
        if not same and not (name == POSITIONS and name in found and _side(found[name], model)):
            raise _wrong_weights(path, expected, found)


def _side(shape: Shape, model: TimmModule) -> int:
    """Return the side length (patches) of the grid of position embeddings; 0 if they fit no square grid."""
    if len(shape) != 3 or shape[0] != 1 or shape[2] != model.embed_dim:
        return 0
    patches = shape[1] - _prefix(model)
    side = math.isqrt(max(0, patches))
    return side if side and side * side == patches else 0


def _prefix(model: TimmModule) -> int:
    """Return the number of tokens with a position before the patches."""
    return 0 if model.no_embed_class else model.num_prefix_tokens


def _to_timm(path: Path, weights: "dict[str, Tensor]", model: TimmModule) -> "dict[str, Tensor]":
    from timm.models.vision_transformer import checkpoint_filter_fn

    try:
        return dict(checkpoint_filter_fn(weights, model, adapt_layer_scale=True))
    except Exception as error:  # timm does not check the weights
        raise WrongWeights(
            f"The weights of {path.name} are not in timm's layout, and timm cannot convert them."
        ) from error


def _wrong_weights(path: Path, expected: Shapes, found: Shapes) -> WrongWeights:
    differing = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name) and name != POSITIONS
    ) or [POSITIONS]
    name = differing[0]
    theirs = f"is {found[name]}" if name in found else "is missing"
    ours = f"{expected[name]}" if name in expected else "none"
    return WrongWeights(
        f"The weights of {path.name} belong to another network ({name[:60]} {theirs}, where this one has {ours}): "
        "choose the architecture that they were trained with."
    )


def _damaged(path: Path) -> UserError:
    return UserError(f"{path.name} is a damaged safetensors file: download it again.")
