"""Guess the timm architecture of a file of weights from the names and shapes of its tensors.

These do not reveal the number of heads, the activation of the MLP and the normalisation of images, so several
architectures may fit. Then the user has to choose.
"""

from functools import cache
from pathlib import Path

from vit.errors import UserError
from vit.published import architecture as arch
from vit.published import weights_file
from vit.published.weights_file import Shapes

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


def guess(path: Path, stem: str) -> str:
    """Return the only architecture that the weights fit, or, of several, the one in the file's name.

    Args:
        path: the file of weights.
        stem: its name without suffix.

    Raises:
        Ambiguous: several architectures fit.
        UserError: no architecture fits.
    """
    found = candidates(weights_file.shapes_in(path))
    if not found:
        raise UserError(f"The weights of {path.name} fit no plain Vision Transformer of timm: name their architecture.")
    matching_name = [name for name in found if stem == name or stem.startswith((f"{name}.", f"{name}-"))]
    if len(found) == 1 or matching_name:
        return (matching_name or list(found))[0]
    raise Ambiguous(path.name, found)


def candidates(shapes: Shapes) -> tuple[str, ...]:
    """Return the architectures that the shapes fit. Those of another image size count only if no other fits."""
    patches = shapes.get(weights_file.PATCHES, ())
    if len(patches) != 4:
        return ()
    fitting = [
        (shapes.get(weights_file.POSITIONS) != positions, name)
        for name, (theirs, positions) in _architectures(patches[0], patches[-1]).items()
        if theirs == _body(shapes)
    ]
    exact = [name for other_size, name in sorted(fitting) if not other_size]
    return tuple(exact or (name for _, name in sorted(fitting)))


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
def _architectures(width: int, patch: int) -> dict[str, tuple[Shapes, weights_file.Shape]]:
    """Return the shapes of body and positions of every supported architecture with this token width and patch size."""
    found: dict[str, tuple[Shapes, weights_file.Shape]] = {}
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
        found[name] = _body(shapes), shapes[weights_file.POSITIONS]
    return found


def _body(shapes: Shapes) -> dict[str, weights_file.Shape]:
    """Return the shapes that depend neither on the head nor on the image size."""
    return {
        key: shape for key, shape in shapes.items() if not key.startswith("head.") and key != weights_file.POSITIONS
    }
