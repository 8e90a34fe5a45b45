"""Guess the timm architecture of a file of weights from the names and shapes of its tensors.

These do not reveal the number of heads, the activation of the MLP and the normalisation of images, so several
architectures may fit. Then the user has to choose.
"""

from functools import cache

from vit.errors import UserError
from vit.published import architecture as arch
from vit.published import weight_names
from vit.published.weight_names import PATCHES, POSITIONS, Shape, Shapes
from vit.published.weights_file import WeightsFile

MODULES = ("vision_transformer", "deit")
"""timm modules that contain plain Vision Transformers."""


class Ambiguous(UserError):
    """Raised for weights that fit several architectures.

    Attributes:
        candidates: timm's names, most likely first.
    """

    def __init__(self, name: str, candidates: tuple[str, ...]) -> None:
        super().__init__(
            f"The weights of {name} fit {len(candidates)} architectures, which their shapes cannot tell apart: name "
            f"one, such as {', '.join(candidates[:6])}."
        )
        self.candidates = candidates


def guess(file: WeightsFile, stem: str) -> str:
    """Return the only architecture that the weights fit, or, of several, the one in the file's name.

    Args:
        file: the weights.
        stem: its name without suffix.

    Raises:
        Ambiguous: several architectures fit.
        UserError: no architecture fits; the message says why, as far as the weights show it.
    """
    shapes = file.network.shapes
    found = candidates(shapes)
    if not found:
        if reason := weight_names.why_not_plain(shapes):
            raise UserError(f"The weights of {file.title} cannot be opened: {reason}.")
        blocks, (width, _, patch, _) = weight_names.count_blocks(shapes), shapes[PATCHES]
        raise UserError(
            f"The weights of {file.title} fit no plain Vision Transformer of timm (blocks: {blocks}, numbers of a "
            f"token: {width:,}, patch size: {patch}): add their config.json, or name their architecture."
        )
    matching_name = [name for name in found if stem == name or stem.startswith((f"{name}.", f"{name}-"))]
    if len(found) == 1 or matching_name:
        return (matching_name or list(found))[0]
    raise Ambiguous(file.title, found)


def candidates(shapes: Shapes) -> tuple[str, ...]:
    """Return the architectures that the shapes fit.

    Those of another image size count only if no other fits, and those with another number of blocks only after them.
    """
    patches = shapes.get(PATCHES, ())
    if len(patches) != 4 or weight_names.why_not_plain(shapes):
        return ()
    known = _architectures(patches[0], patches[-1])
    fitting = [
        (shapes.get(POSITIONS) != positions, name)
        for name, (theirs, positions) in known.items()
        if theirs == _body(shapes)
    ]
    exact = [name for other_size, name in sorted(fitting) if not other_size]
    if exact or fitting:
        return tuple(exact or (name for _, name in sorted(fitting)))
    first = _first_block(_body(shapes))
    return tuple(sorted(name for name, (theirs, _) in known.items() if _first_block(theirs) == first))


def is_pretrained(name: str) -> bool:
    """Return whether timm has weights of this name, including the tag."""
    import timm

    return "." in name and timm.is_model_pretrained(name)


def names() -> list[str]:
    """Return all timm architectures that may be plain Vision Transformers."""
    arch.require_timm()
    import timm

    return [name for module in MODULES for name in timm.list_models(module=module)]


@cache
def _architectures(width: int, patch: int) -> dict[str, tuple[Shapes, Shape]]:
    """Return the shapes of body and positions of every supported architecture with this token width and patch size."""
    found: dict[str, tuple[Shapes, Shape]] = {}
    for name in names():
        if f"patch{patch}_" not in name and "patch" in name:
            continue
        try:
            if getattr(arch.build(name, depth=1), "embed_dim", 0) != width:  # the whole model takes ten times as long
                continue
            model = arch.build(name)
            arch.config_of(model)
        except arch.NotSupported:
            continue
        shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        found[name] = _body(shapes), shapes[POSITIONS]
    return found


def _body(shapes: Shapes) -> dict[str, Shape]:
    """Return the shapes that depend neither on the head nor on the image size."""
    return {
        key: shape
        for key, shape in shapes.items()
        if not key.startswith("head.") and key not in (POSITIONS, "mask_token")  # which only a pre-training uses
    }


def _first_block(body: Shapes) -> dict[str, Shape]:
    """Return the shapes without those of all blocks but the first."""
    return {key: shape for key, shape in body.items() if not key.startswith("blocks.") or key.startswith("blocks.0.")}
