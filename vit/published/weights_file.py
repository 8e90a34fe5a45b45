"""Read untrusted safetensors files as the weights of a timm model, without unpickling anything.

Names and shapes come from the headers, whose length is limited. They are compared with the network on the meta device
before any memory is allocated.
"""

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from vit.errors import UserError
from vit.model import interpolate_positions
from vit.published import parts, weight_names
from vit.published.architecture import TimmModule
from vit.published.weight_names import HEAD, PATCHES, POSITIONS, Shape, Shapes, Unwrapped
from vit.support.files import HEADER_MAX

if TYPE_CHECKING:
    from torch import Tensor

FLOATS = ("F64", "F32", "F16", "BF16")
_COUNTS = ("I64",)
_FOREIGN_MAX = 5
"""Limit for a file in another layout, as a multiple of the network's size: CLIP's text encoder is twice as large."""


class WrongWeights(UserError):
    """Raised for the weights of another network."""


class WeightsFile:
    """The weights of one model: a safetensors file, or all parts of a sharded one.

    Args:
        path: a file, a part of a sharded model, the index of its parts, or a folder with one model.
        title: name of the file for messages, if its path is temporary.

    Attributes:
        title: name of the file, for messages.
        parts: the files.

    Raises:
        UserError: a part is missing, or the folder holds no model or several.
    """

    def __init__(self, path: Path, title: str | None = None) -> None:
        self.parts = parts.find(path, title)
        self.title = title or (self.parts[0].name if path.is_dir() else path.name)

    @cached_property
    def network(self) -> Unwrapped:
        """The weights in floating point of the network in the file, by their names in it.

        Raises:
            UserError: the file is not a safetensors file, cannot be read, or holds several networks.
        """
        return weight_names.unwrap(self.shapes(), self.title)

    def shapes(self, kinds: tuple[str, ...] = FLOATS) -> dict[str, Shape]:
        """Return the shapes, by name, of the tensors of these dtypes; only the headers are read.

        Args:
            kinds: safetensors names of the dtypes.

        Raises:
            UserError: a part is not a safetensors file, or cannot be read.
        """
        found: dict[str, Shape] = {}
        for part in self.parts:
            self._check_header(part)
            try:
                with safe_open(part, framework="pt") as content:
                    slices = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118
                    shapes = {name: tuple(it.get_shape()) for name, it in slices.items() if it.get_dtype() in kinds}
            except (SafetensorError, ValueError, RecursionError) as error:
                raise self._damaged() from error
            if twice := sorted(found.keys() & shapes.keys()):
                raise UserError(f"Two parts of {self.title} hold {twice[0][:60]}: download the model again.")
            found |= shapes
        return found

    def tensors(self, names: Mapping[str, str]) -> "dict[str, Tensor]":
        """Return tensors.

        Args:
            names: the names in the file, by the names to return.
        """
        wanted = {old: new for new, old in names.items()}
        found = {}
        try:
            for part in self.parts:
                with safe_open(part, framework="pt") as content:
                    for old in wanted.keys() & set(content.keys()):
                        found[wanted[old]] = content.get_tensor(old)
        except (SafetensorError, ValueError, OSError) as error:
            raise self._damaged() from error
        return found

    def _check_header(self, part: Path) -> None:
        name = self.title if len(self.parts) == 1 else part.name
        try:
            with part.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                begins = file.read(1)
        except OSError as error:
            raise UserError(f"{name} cannot be read: {error.strerror or error}.") from error
        if begins != b"{" or not 2 <= length <= HEADER_MAX:
            raise UserError(
                f"{name} is not a safetensors file. Pickled weights (.bin, .pt, .pth) are never opened, because they "
                "can run programs: use the model's safetensors file."
            )

    def _damaged(self) -> UserError:
        return UserError(f"{self.title} is a damaged safetensors file: download it again.")


def head_outputs(shapes: Shapes) -> int:
    """Return the number of outputs of the head; 0 without a head."""
    shape = shapes.get(HEAD[0], ())
    return shape[0] if len(shape) == 2 else 0


def grid_side(shapes: Shapes, model: TimmModule) -> int:
    """Return the side (patches) of the square grid that the positions of a file fit; 0 if they fit none."""
    return _side(shapes.get(POSITIONS, ()), model)


def read(file: WeightsFile, model: TimmModule) -> "dict[str, Tensor]":
    """Return all weights of a timm model as float32, with positions resampled to the model's grid.

    Files with other names, such as those of OpenAI, OpenCLIP and Meta, are first converted by timm.

    Args:
        file: the file.
        model: the model on the meta device (:func:`vit.published.architecture.build`), with the number of outputs of
            the file.

    Raises:
        WrongWeights: the file holds other weights; the message says what differs.
        UserError: the file is not a safetensors file, or holds numbers that are not finite.
    """
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    network = file.network
    found = network.shapes
    native = found.keys() == expected.keys()
    if native:
        _check(file, expected, found, model)
    elif numbers_in(found) > _FOREIGN_MAX * numbers_in(expected):
        raise wrong_weights(file, expected, found)
    else:  # before the numbers are read
        _check_convertible(file, expected, found)
    weights = file.tensors(network.names)
    if not native:
        weights = _to_timm(file, weights, model)
        _check(file, expected, {name: tuple(value.shape) for name, value in weights.items()}, model)
    weights = _finite(file, weights)
    if expected[POSITIONS] != weights[POSITIONS].shape:
        prefix, side = _prefix(model), _side(weights[POSITIONS].shape, model)
        weights[POSITIONS] = interpolate_positions(
            weights[POSITIONS], (side, side), tuple(model.patch_embed.grid_size), prefix
        )
    return weights


def read_exactly(file: WeightsFile, expected: Shapes) -> "dict[str, Tensor]":
    """Return the weights of a file that must have exactly these names and shapes, as float32.

    Args:
        file: the file.
        expected: the shapes by name.

    Raises:
        WrongWeights: the file holds other weights.
        UserError: the file is not a safetensors file, or holds numbers that are not finite.
    """
    found = file.shapes((*FLOATS, *_COUNTS))
    if found != expected:
        raise _first_difference(file, expected, found)
    return _finite(file, file.tensors({name: name for name in found}))


def numbers_in(shapes: Shapes) -> int:
    """Return the total number of elements of tensors of these shapes."""
    return sum(math.prod(shape) for shape in shapes.values())


def _finite(file: WeightsFile, weights: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """Check that all numbers are finite, and return floating-point tensors as float32."""
    if not all(bool(value.isfinite().all()) for value in weights.values()):
        raise UserError(f"{file.title} holds weights that are not finite.")
    return {
        name: (value.float() if value.is_floating_point() else value).contiguous() for name, value in weights.items()
    }


def _check(file: WeightsFile, expected: Shapes, found: Shapes, model: TimmModule) -> None:
    """Check names and shapes. Position embeddings may be of another square grid."""
    for name in sorted(expected.keys() | found.keys(), key=lambda name: (name == POSITIONS, name)):
        same = expected.get(name) == found.get(name)
        if not same and not (name == POSITIONS and name in found and _side(found[name], model)):
            if name == POSITIONS and name in found and name in expected and not weight_names.why_not_plain(found):
                raise WrongWeights(
                    f"The weights of {file.title} cannot be opened: its {name} of shape {found[name]} fits no square "
                    f"grid of patches of {model.embed_dim:,} numbers."
                )
            raise wrong_weights(file, expected, found)


def _check_convertible(file: WeightsFile, expected: Shapes, found: Shapes) -> None:
    """Raise WrongWeights for a network in timm's layout that shows by its names or sizes that it is another one."""
    if PATCHES in found and (weight_names.why_not_plain(found) or weight_names.differences(expected, found)):
        raise wrong_weights(file, expected, found)


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


def _to_timm(file: WeightsFile, weights: "dict[str, Tensor]", model: TimmModule) -> "dict[str, Tensor]":
    from timm.models.vision_transformer import checkpoint_filter_fn

    found = {name: tuple(value.shape) for name, value in weights.items()}
    try:
        return dict(checkpoint_filter_fn(weights, model, adapt_layer_scale=True))
    except Exception as error:  # timm does not check the weights
        if PATCHES in found or weight_names.why_not_plain(found):
            expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
            raise wrong_weights(file, expected, found) from error
        raise WrongWeights(
            f"The weights of {file.title} are not in timm's layout, and timm cannot convert them."
        ) from error


def wrong_weights(file: WeightsFile, expected: Shapes, found: Shapes) -> WrongWeights:
    """Return the error about weights that are not those of a network, with the reason.

    Args:
        file: the file.
        expected: the shapes of the network, by name.
        found: the shapes of the file's network, by name.
    """
    if PATCHES in expected and (reason := weight_names.why_not_plain(found)):
        return WrongWeights(f"The weights of {file.title} cannot be opened: {reason}.")
    if reason := weight_names.differences(expected, found):
        return WrongWeights(
            f"The weights of {file.title} belong to another network than the one that was named: {reason}. Choose the "
            "architecture that they were trained with."
        )
    return _first_difference(file, expected, found)


def _first_difference(file: WeightsFile, expected: Shapes, found: Shapes) -> WrongWeights:
    differing = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name) and name != POSITIONS
    ) or [POSITIONS]
    name = differing[0]
    theirs = f"is {found[name]}" if name in found else "is missing"
    ours = f"{expected[name]}" if name in expected else "none"
    return WrongWeights(
        f"The weights of {file.title} belong to another network: {name[:60]} {theirs}, where this one has {ours}."
    )
