"""Load a published model as the parts of a run: settings of the network, weights, and remarks for the user."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vit.classes import class_names_of
from vit.config import RunConfig, ViTConfig
from vit.errors import UserError
from vit.published import architecture as arch
from vit.published import class_names as names_of_classes
from vit.published import weights_file
from vit.published.model_description import PublishedModel
from vit.published.preprocessing import preprocessing_of
from vit.published.weight_names import PATCHES, Shapes, count_blocks
from vit.published.weights_file import WeightsFile

if TYPE_CHECKING:
    from torch import Tensor, nn

_EQUAL = 1e-3
"""Largest difference between the logits of the two networks, relative to the largest logit."""


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to become a run.

    Attributes:
        config: settings of the run.
        weights: the network's weights by name, float32.
        remarks: sentences about the model, and about differences from the original.
    """

    config: RunConfig
    weights: "dict[str, Tensor]"
    remarks: tuple[str, ...]


def load(
    file: WeightsFile,
    published: PublishedModel,
    *,
    image_size: int | None = None,
    class_names: tuple[str, ...] | None = None,
) -> Loaded:
    """Read a safetensors file as the given model, and check that this program's ViT equals timm's network.

    The check is a forward pass of both networks on one image of noise; the logits must agree.

    Args:
        file: the weights.
        published: the model.
        image_size: image size in pixels; None uses the grid of the position embeddings in the file.
        class_names: the names of the classes; None uses those that come with the model.

    Raises:
        NotSupported: the ViT cannot represent this model.
        UserError: the file holds other weights, or cannot be read, or there are more or fewer names than outputs.
    """
    arch.check_family(published.architecture)  # before anything is asked of the network's parts
    shapes = file.network.shapes
    native = PATCHES in shapes
    outputs = weights_file.head_outputs(shapes) if native else int(published.cfg.get("num_classes") or 0)
    names_of_classes.check_count(class_names, outputs)
    stated = _stated_size(published)
    arguments = {key: value for key, value in published.arguments.items() if key != "img_size"}
    model = arch.build(published.architecture, num_classes=outputs, **arguments)
    changed, remarks = _shown_by_weights(model, arguments, shapes)
    own, said = _own_size(shapes, model, stated)
    if image_size or own or changed:
        size = image_size or own
        model = arch.build(published.architecture, num_classes=outputs, image_size=size, **arguments | changed)
    config = arch.config_of(model)
    weights = weights_file.read(file, model)
    _check_outputs(model, config, weights, file.title)
    remarks = [*file.network.remarks, *remarks, *said]
    if image_size and own and image_size != own:
        remarks.append(f"The position embeddings are resampled from {own} to {image_size} pixels.")
    return _loaded(published, config, weights, remarks, class_names)


def _stated_size(published: PublishedModel) -> int | None:
    """Return the image size that the description of a model states; None if it states none.

    Raises:
        NotSupported: it states sides of different lengths, which the positions alone do not show.
    """
    stated = published.arguments.get("img_size")
    size = published.cfg.get("input_size")
    if stated is None and isinstance(size, list | tuple) and len(size) == 3:
        stated = size[1] if size[1] == size[2] else (size[1], size[2])
    if isinstance(stated, tuple):
        height, width = stated
        reason = f"its images are not square but {str(height)[:20]} x {str(width)[:20]} pixels"
        raise arch.NotSupported(published.architecture, reason)
    return stated if isinstance(stated, int) else None


def _shown_by_weights(model: Any, arguments: Mapping[str, Any], shapes: Shapes) -> tuple[dict[str, Any], list[str]]:
    """Return arguments that nothing states, but that the weights show, and remarks about them.

    Older versions of timm write no arguments, and a model without a ``config.json`` states none.
    """
    changed: dict[str, Any] = {}
    remarks = []
    blocks = count_blocks(shapes)
    if blocks and "depth" not in arguments and blocks != len(model.blocks):
        changed["depth"] = blocks
        remarks.append(f"It has {blocks} blocks, where the published architecture has {len(model.blocks)}.")
    norms = {name for name in ("norm", "fc_norm") if f"{name}.weight" in shapes}
    if PATCHES in shapes and len(norms) == 1 and "fc_norm" not in arguments:
        changed["fc_norm"] = norms == {"fc_norm"}
        if changed["fc_norm"] and "global_pool" not in arguments and model.global_pool == "token":
            changed["global_pool"] = "avg"
            remarks.append("Its head reads the mean of the patches: its last norm is the one that follows a mean.")
    return changed, remarks


def _own_size(shapes: Shapes, model: Any, stated: int | None) -> tuple[int | None, list[str]]:
    """Return the image size (pixels) of a file of weights, and a remark if it is only a conclusion from their number.

    Args:
        shapes: the shapes of the weights.
        model: the network without its image size.
        stated: the image size that the description of the model states; None if it states none.
    """
    side = weights_file.grid_side(shapes, model)
    patch = model.patch_embed.patch_size[0]
    if not side:
        return stated, []
    if stated is not None and stated // patch == side:
        return stated, []
    return side * patch, [
        f"Its image size follows from its {side * side:,} positions, read as a square of {side} x {side} patches; "
        "images that are not square can have as many."
    ]


def _check_outputs(model: "nn.Module", config: ViTConfig, weights: "dict[str, Tensor]", name: str) -> None:
    """Raise an error unless the ViT of these settings gives the same logits as timm's network."""
    import torch

    from vit.model import ViT

    with torch.device("meta"):
        ours = ViT(config)
    ours.load_state_dict(weights, assign=True)
    model.load_state_dict(weights, assign=True)
    image = torch.randn(1, 3, config.image_size, config.image_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, other = ours.eval()(image), model.eval()(image)
    if not other.isfinite().all():
        raise UserError(f"The weights of {name} are damaged: the outputs are not finite.")
    if (one - other).abs().max() > _EQUAL * other.abs().max().clamp(min=1):
        raise arch.NotSupported(name, "this network gives other outputs than timm's with the same weights")


def _loaded(
    published: PublishedModel,
    config: ViTConfig,
    weights: "dict[str, Tensor]",
    remarks: list[str],
    class_names: tuple[str, ...] | None,
) -> Loaded:
    seen = preprocessing_of(published.cfg, config.image_size)
    remarks = [*remarks, *seen.remarks]
    count = config.num_classes
    names = class_names or (names_of_classes.class_names(published.cfg, count) if count else None)
    if count and names is None and _is_projection(published, count, weights):
        remarks.insert(0, f"It is opened without its head, whose {count:,} outputs are not classes.")
        config = ViTConfig(**config.model_dump() | {"num_classes": 0})
        weights = {name: value for name, value in weights.items() if not name.startswith("head.")}
        count, names = 0, None
    elif not count:
        remarks.insert(0, "It has no head: its output is features, not classes.")
    elif names is None:
        remarks.insert(0, f"The names of its {count:,} classes are unknown.")
    run = RunConfig(model=config, data=seen.data_config(names or ()), published=published.name)
    if count and names is None:
        run = run.model_copy(update={"data": seen.data_config(class_names_of(run))})
    return Loaded(run, weights, tuple(remarks))


def _is_projection(published: PublishedModel, count: int, weights: "Mapping[str, Tensor]") -> bool:
    """Return whether the head is only a projection, as of CLIP's image encoders; timm sets its bias to zeros.

    A bias of zeros alone does not show this: every head begins with one.
    """
    bias = weights.get("head.bias")
    if bias is None or bool(bias.any()):
        return False
    return names_of_classes.may_be_projection(published.cfg, count)
