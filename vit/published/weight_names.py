"""Read the names of weights: remove what wrappers add to them, and say why a network cannot be opened.

People save a network as it lies within another module (``module.``, ``_orig_mod.``, ``model.``, ``backbone.``) and
with other things beside it. Shapes and names come from the header of the file, so nothing is loaded here.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from vit.errors import UserError

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

POSITIONS, PATCHES = "pos_embed", "patch_embed.proj.weight"
HEAD = ("head.weight", "head.bias")
_INNER = re.compile(r"(?:(?<=\.)|^)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What torch.compile, FSDP and activation checkpointing add to names, at any place in them."""
_CONVERTED_BY_TIMM = ("visual.", "module.visual.", "vision_encoder.", "radio_model.")
"""Prefixes in layouts that timm converts itself."""
_WRAPPERS = ("module", "model", "backbone", "encoder", "net", "network", "state_dict")
_TRAINING_STATE = re.compile(r"(?:optim\w*|lr_schedulers?|schedulers?|grad_scaler|scaler|callbacks|loops)\..*")
_HEAD_NAMES = ("head", "classifier", "fc", "linear", "head.fc", "fc_head", "cls_head", "linear_head")
_LISTED = 3


@dataclass(frozen=True)
class Unwrapped:
    """The weights of one network among the tensors of a file.

    Attributes:
        names: their names in the file, by their names in the network.
        shapes: their shapes, by their names in the network.
        remarks: sentences about what was left out or renamed.
    """

    names: Mapping[str, str]
    shapes: Shapes
    remarks: tuple[str, ...] = ()


def unwrap(shapes: Shapes, title: str) -> Unwrapped:
    """Find the network in a file: drop the prefix of its names, and the training state beside it.

    Args:
        shapes: the shapes of the file's tensors by name.
        title: name of the file for messages.

    Raises:
        UserError: the file holds several networks.
    """
    remarks = []
    names = {name: name for name in shapes if not _TRAINING_STATE.fullmatch(name)}
    if dropped := len(shapes) - len(names):
        remarks.append(f"{_tensors(dropped)} of the training's state {'is' if dropped == 1 else 'are'} left out.")
    names = _renamed(names, lambda name: _INNER.sub("", name))
    prefixes = sorted(name.removesuffix(PATCHES) for name in names if name == PATCHES or name.endswith(f".{PATCHES}"))
    prefixes = [prefix for prefix in prefixes if not prefix.startswith(_CONVERTED_BY_TIMM)]
    if len(prefixes) > 1:
        listed = ", ".join(prefix or PATCHES for prefix in prefixes[:_LISTED])
        raise UserError(f"{title} holds {len(prefixes)} networks ({listed[:200]}): save the weights of one of them.")
    if not prefixes:
        names = _without_common_wrappers(names)
    elif prefix := prefixes[0]:
        outside = [name for name in names if not name.startswith(prefix)]
        inside = {name.removeprefix(prefix): old for name, old in names.items() if name.startswith(prefix)}
        names, said = _with_outside(inside, {name: names[name] for name in outside}, shapes, prefix)
        remarks += said
    return Unwrapped(names, {name: shapes[old] for name, old in names.items()}, tuple(remarks))


def _renamed(names: Mapping[str, str], rename: Callable[[str], str]) -> dict[str, str]:
    """Return the names after a change of each; unchanged if two of them would become the same."""
    changed = {rename(name): old for name, old in names.items()}
    return changed if len(changed) == len(names) else dict(names)


def _without_common_wrappers(names: Mapping[str, str]) -> dict[str, str]:
    """Remove words such as ``module.`` from the front of names as long as all names begin with them."""
    found = dict(names)
    while found:
        first = {name.partition(".")[0] for name in found}
        if len(first) != 1 or next(iter(first)) not in _WRAPPERS or not all("." in name for name in found):
            break
        found = {name.partition(".")[2]: old for name, old in found.items()}
    return found


def _with_outside(
    inside: dict[str, str], outside: dict[str, str], shapes: Shapes, prefix: str
) -> tuple[dict[str, str], list[str]]:
    """Add what a network needs from outside of its prefix: its head, and a decoder, so that it is refused."""
    said = []
    width = shapes[inside[PATCHES]][0] if shapes[inside[PATCHES]] else 0
    if not any(name.startswith("head.") for name in inside):
        for name in _HEAD_NAMES:
            own = [old for new, old in outside.items() if new in (f"{name}.weight", f"{name}.bias")]
            found = {old.rpartition(".")[2]: old for old in own}
            weight, bias = shapes.get(found.get("weight", "")), shapes.get(found.get("bias", ""))
            if weight and bias and len(weight) == 2 and weight[1] == width and bias == weight[:1]:
                inside |= {"head.weight": found["weight"], "head.bias": found["bias"]}
                said.append(f"Its head is {name}, outside of {prefix.rstrip('.')[:60]}.")
                outside = {new: old for new, old in outside.items() if old not in found.values()}
                break
    decoder = {name: old for name, old in outside.items() if "decoder" in name}
    inside |= decoder
    left = [name for name in outside if name not in decoder]
    if left:
        said.append(f"Left out, because it is outside of {prefix.rstrip('.')[:60]}: {_listed(left)}.")
    return inside, said


_LAYOUTS = (
    (r"(vit\.|deit\.|dinov2\w*\.|beit\.)?(embeddings\.(cls_token|patch_embeddings)|(encoder\.)?layer\.\d+\.attention)",
     "of Hugging Face's transformers"),
    (r"(vision_model\.|text_model\.|vision_tower\.)", "of Hugging Face's transformers"),
    (r"((encoder\.)?layers\.encoder_layer_\d+|conv_proj\.(weight|bias)|class_token$)", "of torchvision"),
    (r"(to_patch_embedding\.|transformer\.layers\.\d+\.\d+\.)", "of vit-pytorch"),
    (r"(params/)?(Transformer/encoderblock_\d+|embedding/kernel)", "of JAX"),
    (r"(conv1\.weight|layer[1-4]\.\d+\.conv1\.weight)", ""),
)  # fmt: skip
"""Patterns at the beginning of names, and whose layout they show; empty for the names of a ResNet."""

_PARTS = (
    (r"(.*\.)?lora_[AB]\b.*|.*\.base_layer\..*", "it holds adapters (LoRA) that are not merged into the weights"),
    (r"(.*\.)?\w*decoder\w*\b.*", "it has a decoder, as the pre-training of a masked autoencoder has"),
    (r".*(relative_position|rel_pos).*", "it has relative positions"),
    (r"(.*\.)?(rope|rotary)\w*\b.*", "it turns queries and keys by their positions (rotary positions)"),
    (r"(dist_token|head_dist\..*)", "it has a distillation token and a second head"),
    (r"patch_embed\.backbone\..*", "its patches come from a convolutional stem (hybrid)"),
    (r"patch_embed\.norm\..*", "it normalises the embedded patches"),
    (r".*\.attn\.(q_norm|k_norm)\..*", "it normalises queries and keys"),
    (r".*\.attn\.(q|k|v|q_proj|k_proj|v_proj)\.weight", "its queries, keys and values have weights of their own"),
    (r".*\.attn\.(gate|g_proj)\..*", "its attention is gated"),
    (r".*\.attn\.norm\..*", "it normalises the output of the heads"),
    (r".*\.mlp\.norm\..*", "it has a norm within the MLP"),
    (r".*\.mlp\.(fc1_[gx]|w12|w3|gate_proj)\..*", "it has a gated MLP"),
    (r"attn_pool\..*", "its head pools by attention (as SigLIP's)"),
    (r"head\.(\d+|mlp\w*|fc\w*|layers)\..*", "its head is not a single linear layer with a bias"),
)
"""Patterns of whole names of weights that no plain ViT has, and what they mean."""


def why_not_plain(shapes: Shapes) -> str:
    """Return why weights are not those of a plain ViT, as a clause; empty if their names do not show a reason."""
    if PATCHES not in shapes:
        return _why_no_patches(shapes)
    for pattern, clause in _PARTS:
        if any(re.fullmatch(pattern, name) for name in shapes):
            return clause
    patches = shapes[PATCHES]
    if len(patches) != 4:
        return f"its {PATCHES} has {len(patches)} axes instead of 4"
    if patches[1] != 3:
        return channels_clause(patches[1])
    if patches[2] != patches[3]:
        return f"its patches are not square but {patches[2]} x {patches[3]} pixels"
    if POSITIONS not in shapes:
        return "it has no learned positions"
    if "norm.weight" in shapes and "fc_norm.weight" in shapes:
        return "it has two norms after the last block"
    return ""


def channels_clause(channels: int) -> str:
    """Return the clause about images that are not red, green and blue."""
    return f"its images have {channels} channel{'s' if channels != 1 else ''}, not red, green and blue"


def _why_no_patches(shapes: Shapes) -> str:
    for pattern, whose in _LAYOUTS:
        if found := next((name for name in sorted(shapes) if re.match(pattern, name)), None):
            if not whose:
                return f"it is not a Vision Transformer: it begins with a convolution, {found[:60]}"
            return f"its weights have the names of another library ({found[:60]}, the layout {whose}), not timm's"
    if not shapes:
        return "it holds no weights in floating point"
    return f"it has no patch embedding in timm's layout: it holds {_listed(sorted(shapes))}"


def count_blocks(shapes: Shapes) -> int:
    """Return the number of blocks of a network in timm's layout; 0 if they are not numbered from 0."""
    numbers = {int(found[1]) for name in shapes if (found := re.match(r"blocks\.(\d{1,4})\.(?!\d)", name))}
    return len(numbers) if numbers == set(range(len(numbers))) else 0


def differences(expected: Shapes, found: Shapes) -> str:
    """Return what differs between two networks with the same kinds of weights, as a clause; empty if unknown.

    Args:
        expected: the shapes of the network that was asked for.
        found: the shapes in the file.
    """
    ours, theirs = expected.get(PATCHES, ()), found.get(PATCHES, ())
    if len(ours) == len(theirs) == 4:
        if ours[0] != theirs[0]:
            return f"its tokens have {theirs[0]:,} numbers and not {ours[0]:,}"
        if ours[2:] != theirs[2:]:
            return f"its patches have {theirs[2]} x {theirs[3]} pixels and not {ours[2]} x {ours[3]}"
    blocks = (count_blocks(expected), count_blocks(found))
    if all(blocks) and blocks[0] != blocks[1]:
        return f"it has {blocks[1]} blocks and not {blocks[0]}"
    mlp = "blocks.0.mlp.fc1.weight"
    if mlp in expected and mlp in found and expected[mlp] != found[mlp]:
        return f"its MLP has {found[mlp][0]:,} numbers and not {expected[mlp][0]:,}"
    return ""


def _tensors(count: int) -> str:
    return f"{count:,} tensor{'s' if count != 1 else ''}"


def _listed(names: Iterable[str]) -> str:
    """Return the first few names, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - _LISTED:,} more" if len(found) > _LISTED else ""
    return ", ".join(name[:60] for name in found[:_LISTED]) + more
