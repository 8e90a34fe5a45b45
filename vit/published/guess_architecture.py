"""Which architecture of timm's a file of weights is of, by names and shapes alone.

How many heads there are, what the MLP's activation is and how images were normalised cannot be seen in them, so several
architectures may fit; then a person chooses.
"""

from functools import cache
from pathlib import Path

from vit.errors import UserError
from vit.published import architecture as arch
from vit.published import weights_file
from vit.published.weights_file import Shapes

MODULES = ("vision_transformer", "deit")
"""Of timm: where plain Vision Transformers are."""


class Ambiguous(UserError):
    """Weights that fit several architectures.

    Attributes:
        candidates: timm's names, the likeliest first.
    """

    def __init__(self, name: str, candidates: tuple[str, ...]) -> None:
        super().__init__(
            f"The weights of {name} fit {len(candidates)} architectures, which differ in what shapes do not tell: say "
            f"which it is, such as {', '.join(candidates[:6])}."
        )
        self.candidates = candidates


def guess(path: Path, stem: str) -> str:
    """The only architecture that the weights fit, or of several the one that the file is named after.

    Raises:
        Ambiguous: there are several.
        UserError: there is none.
    """
    found = candidates(weights_file.shapes_in(path))
    if not found:
        raise UserError(
            f"The weights of {path.name} fit no plain Vision Transformer of timm's: say which architecture they are of."
        )
    called = [name for name in found if stem == name or stem.startswith((f"{name}.", f"{name}-"))]
    if len(found) == 1 or called:
        return (called or list(found))[0]
    raise Ambiguous(path.name, found)


def candidates(shapes: Shapes) -> tuple[str, ...]:
    """The architectures that weights of these shapes fit; of other image sizes only where there is none of theirs."""
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
    """Whether timm has weights of this name, a tag included."""
    import timm

    return "." in name and timm.is_model_pretrained(name)


def names() -> list[str]:
    """All architectures of timm's that may be plain Vision Transformers."""
    arch.require_timm()
    import timm

    return [name for module in MODULES for name in timm.list_models(module=module)]


@cache
def _architectures(width: int, patch: int) -> dict[str, tuple[Shapes, weights_file.Shape]]:
    """Shapes of the bodies and of the positions of all that can be opened, with tokens and patches of these sizes."""
    found = {}
    for name in names():
        if f"patch{patch}_" not in name and "patch" in name:
            continue
        try:
            if getattr(arch.build(name, depth=1), "embed_dim", 0) != width:  # a whole one takes ten times as long
                continue
            model = arch.build(name)
            arch.config_of(model)
        except arch.NotOurs:
            continue
        shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        found[name] = _body(shapes), shapes[weights_file.POSITIONS]
    return found


def _body(shapes: Shapes) -> dict[str, weights_file.Shape]:
    """All but what a head and an image size change."""
    return {
        key: shape for key, shape in shapes.items() if not key.startswith("head.") and key != weights_file.POSITIONS
    }
