"""A safetensors file from anyone, read as the weights of a timm model; nothing in it is believed, nothing unpickled.

Names and shapes are read from the header, whose length is bounded, and held against the network, which has no memory
for its weights yet, before any memory is taken.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from vit.errors import UserError
from vit.model import interpolate_positions
from vit.support.files import HEADER_MAX

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

SUFFIX = ".safetensors"
POSITIONS, PATCHES = "pos_embed", "patch_embed.proj.weight"
_HEAD = ("head.weight", "head.bias")
FLOATS = ("F64", "F32", "F16", "BF16")
_COUNTS = ("I64",)
_FOREIGN_MAX = 5
"""A file in another layout may hold so many times the numbers of the network: CLIP's text tower is twice as large."""


class Misfit(UserError):
    """Weights of another network."""


def shapes_in(path: Path, kinds: tuple[str, ...] = FLOATS) -> dict[str, Shape]:
    """Names and shapes of the tensors of these kinds in a file, from its header alone.

    Raises:
        UserError: it is no safetensors file, or cannot be read.
    """
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as content:
            parts = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118
            return {name: tuple(it.get_shape()) for name, it in parts.items() if it.get_dtype() in kinds}
    except (SafetensorError, ValueError, RecursionError) as error:
        raise _damaged(path) from error


def head_outputs(shapes: Shapes) -> int:
    """How many outputs the head has; 0 where there is none."""
    shape = shapes.get("head.weight", ())
    return shape[0] if len(shape) == 2 else 0


def own_size(shapes: Shapes, model: "nn.Module") -> int:
    """Pixels a side of the images whose patches a file has positions for; 0 where that cannot be told."""
    return _side(shapes.get(POSITIONS, ()), model) * model.patch_embed.patch_size[0]


def read(path: Path, model: "nn.Module") -> "dict[str, Tensor]":
    """All weights of a timm model, float32; positions of another grid are resampled to the model's.

    A file that has other names, as the ones that OpenAI, OpenCLIP and Meta published, is brought to timm's first, by
    timm.

    Args:
        model: without memory for its weights (:func:`vit.published.architecture.build`), with as many outputs as the
            file; of a file in another layout, as many as they turn out to be.

    Raises:
        Misfit: it holds other weights.
        UserError: it is no safetensors file, or holds numbers that are not finite.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = shapes_in(path)
    native = found.keys() == expected.keys()
    if not native and numbers_in(found) > _FOREIGN_MAX * numbers_in(expected):
        raise _misfit(path, expected, found)
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
    """Weights of just these names and shapes, float32.

    Raises:
        Misfit: it holds others.
        UserError: it is no safetensors file, or holds numbers that are not finite.
    """
    found = shapes_in(path, (*FLOATS, *_COUNTS))
    if found != expected:
        raise _misfit(path, expected, found)
    return _finite(path, _tensors(path, found))


def numbers_in(shapes: Shapes) -> int:
    """How many numbers tensors of these shapes hold."""
    return sum(math.prod(shape) for shape in shapes.values())


def _tensors(path: Path, names: Iterable[str]) -> "dict[str, Tensor]":
    try:
        with safe_open(path, framework="pt") as content:
            return {name: content.get_tensor(name) for name in names}
    except (SafetensorError, ValueError, OSError) as error:
        raise _damaged(path) from error


def _finite(path: Path, weights: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """As float32, but for counts, once every number is one."""
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
            f"{path.name} is no safetensors file, and pickled weights (.bin, .pt, .pth) are never opened, since they "
            "can run programs: take the model's safetensors file."
        )


def _check(path: Path, expected: Shapes, found: Shapes, model: "nn.Module") -> None:
    """Names and shapes are the model's, but for positions of another square grid."""
    for name in expected.keys() | found.keys():
        same = expected.get(name) == found.get(name)
        if not same and not (name == POSITIONS and name in found and _side(found[name], model)):
            raise _misfit(path, expected, found)


def _side(shape: Shape, model: "nn.Module") -> int:
    """Patches along a side of the grid that positions are of; 0 where they are of none."""
    if len(shape) != 3 or shape[0] != 1 or shape[2] != model.embed_dim:
        return 0
    patches = shape[1] - _prefix(model)
    side = math.isqrt(max(0, patches))
    return side if side and side * side == patches else 0


def _prefix(model: "nn.Module") -> int:
    """Tokens before the patches that have a position."""
    return 0 if model.no_embed_class else model.num_prefix_tokens


def _to_timm(path: Path, weights: "dict[str, Tensor]", model: "nn.Module") -> "dict[str, Tensor]":
    from timm.models.vision_transformer import checkpoint_filter_fn

    try:
        return dict(checkpoint_filter_fn(weights, model, adapt_layer_scale=True))
    except Exception as error:  # timm takes for granted that the weights are what their names say
        raise Misfit(f"The weights of {path.name} are not laid out as timm's, and timm cannot convert them.") from error


def _misfit(path: Path, expected: Shapes, found: Shapes) -> Misfit:
    differing = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name) and name != POSITIONS
    ) or [POSITIONS]
    name = differing[0]
    theirs = f"is {found[name]}" if name in found else "is missing"
    ours = f"{expected[name]}" if name in expected else "none"
    return Misfit(
        f"The weights of {path.name} are of another network ({name[:60]} {theirs}, where this one has {ours}): choose "
        "the architecture that they were trained in."
    )


def _damaged(path: Path) -> UserError:
    return UserError(f"{path.name} is a damaged safetensors file: get it again.")
