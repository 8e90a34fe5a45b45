"""Files of weights with a description beside them that does not fit, for ``benchmarks.app.fuzz``. They need timm."""

import json
import random
from collections.abc import Iterator
from functools import cache

from tests.helpers.hostile import mutated

_ARCHITECTURE = "vit_tiny_patch16_224"
_ARGUMENTS = {"depth": 2, "embed_dim": 24, "num_heads": 3, "img_size": 64, "num_classes": 3}
_VALUES = (0, -1, 1, 7, 10**9, 2**63, 1e308, 0.5, True, None, "", "many", "../x", [], [1], {}, [[]], {"a": 1})


@cache
def architectures() -> tuple[str, ...]:
    """Return the first model of each of timm's modules."""
    import timm

    found: dict[str, str] = {}
    for name in timm.list_models():
        found.setdefault(timm.models.model_entrypoint(name).__module__.rpartition(".")[2], name)
    return tuple(found.values())


@cache
def honest_weights() -> bytes:
    """Return a safetensors file of a small network."""
    import timm
    from safetensors.torch import save

    model = timm.create_model(_ARCHITECTURE, **_ARGUMENTS)
    return save({name: value.contiguous() for name, value in model.state_dict().items()})


def packed(config: bytes, weights: bytes) -> bytes:
    """Return a description and weights as one input; see :func:`unpacked`."""
    return len(config).to_bytes(8, "little") + config + weights


def unpacked(data: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(data[:8], "little")
    return data[8 : 8 + size], data[8 + size :]


def hostile_weights(choice: random.Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield inputs: first each architecture beside the weights of another, then mutated descriptions and weights."""
    weights = honest_weights()
    for architecture in architectures()[:count]:
        yield "another architecture", packed(json.dumps({"architecture": architecture}).encode(), weights)
    for _ in range(count - len(architectures())):
        match choice.randrange(4):
            case 0:
                yield "mutated weights", packed(_description(choice), mutated(weights, choice, [weights]))
            case 1:
                config = mutated(_description(choice), choice, [_description(choice)])
                yield "mutated description", packed(config, weights)
            case 2:
                yield "another description", packed(_description(choice, changed=True), weights)
            case 3:
                yield "no description", packed(b"", mutated(weights, choice, [weights]))


def _description(choice: random.Random, *, changed: bool = False) -> bytes:
    config: dict[str, object] = {"architecture": _ARCHITECTURE, "model_args": dict(_ARGUMENTS)}
    if changed:
        keys = ("architecture", "num_classes", "num_features", "global_pool", "label_names", "pretrained_cfg")
        config[choice.choice(keys)] = choice.choice(_VALUES)
        inner = ("input_size", "mean", "std", "crop_pct", "interpolation", "num_classes", "tag")
        config.setdefault("pretrained_cfg", {choice.choice(inner): choice.choice(_VALUES)})
        more = ("embed_dim", "depth", "num_heads", "img_size", "patch_size", "mlp_ratio", "reg_tokens", "in_chans")
        config["model_args"] = _ARGUMENTS | {choice.choice(more): choice.choice(_VALUES)}
    return json.dumps(config).encode()
