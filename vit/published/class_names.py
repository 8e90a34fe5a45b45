"""What the outputs of a published model are: classes with names, classes without, or no classes at all."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vit.support.untrusted_text import CLASS_NAME_MAX, is_unicode

_SYNSET = re.compile(r"n\d{8}")
_DEFINITION_WORDS = 5
_ASIDE = re.compile(r"^\([^)]*\)\s*")
_LOOSE = {"a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "that", "the", "to", "with"}
"""Words that a definition is not cut off after."""


def class_names(cfg: Mapping[str, Any], count: int) -> tuple[str, ...] | None:
    """The names of ``count`` classes, all different; None where nothing says them.

    They are those that a ``pretrained_cfg`` brings, or ImageNet's where there are as many as in one of its sets. An
    ImageNet class is called by the first of its lemmas. Where two have the same, as the two cranes, the beginning of
    its definition follows.
    """
    return _given(cfg, count) or _imagenet(cfg, count)


def _given(cfg: Mapping[str, Any], count: int) -> tuple[str, ...] | None:
    names = cfg.get("label_names")
    if not isinstance(names, list | tuple) or len(names) != count:
        return None
    if not all(isinstance(name, str) and name.strip() and is_unicode(name) for name in names):
        return None
    if all(map(_SYNSET.fullmatch, names)):
        described = cfg.get("label_descriptions")
        described = described if isinstance(described, Mapping) else {}
        lemmas = [str(described.get(name) or name).split(",")[0].strip() or name for name in names]
        return _distinct(lemmas, names.__getitem__)
    return _distinct([name.strip()[: CLASS_NAME_MAX - 20] for name in names], lambda index: str(index))


def _imagenet(cfg: Mapping[str, Any], count: int) -> tuple[str, ...] | None:
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset(dict(cfg) | {"num_classes": count})
    if subset is None:
        return None
    info = ImageNetInfo(subset)
    lemmas = [info.index_to_description(index).split(",")[0].strip() for index in range(count)]

    def definition(index: int) -> str:
        text = _ASIDE.sub("", info.index_to_description(index, detailed=True).partition(":")[2].strip())
        words = re.split(r"[;(]", text)[0].split()[:_DEFINITION_WORDS]
        while words[1:] and words[-1] in _LOOSE:
            words.pop()
        return " ".join(words)

    return _distinct(lemmas, definition)


def _distinct(names: Sequence[str], more: Callable[[int], str]) -> tuple[str, ...]:
    """The names, with ``more(index)`` in brackets where two are the same, and then a number where that does not do."""
    taken = Counter(names)
    longer = [f"{name} ({more(index)})" if taken[name] > 1 else name for index, name in enumerate(names)]
    seen: set[str] = set()
    distinct = []
    for name in longer:
        chosen, number = name, 2
        while chosen in seen:
            chosen, number = f"{name} {number}", number + 1
        seen.add(chosen)
        distinct.append(chosen)
    return tuple(distinct)


def is_projection(cfg: Mapping[str, Any], count: int) -> bool:
    """Whether ``count`` outputs of a model of timm's zoo are no classes but numbers of a space that it shares.

    So are those of CLIP's image towers, which are held against what a text tower makes of words. In the zoo all heads
    with classes are of ImageNet's sets; what came from anywhere else says for itself what its classes are.
    """
    return count > 0 and _zoo_outputs(cfg) == count and class_names(cfg, count) is None


def _zoo_outputs(cfg: Mapping[str, Any]) -> int | None:
    """How many outputs timm's own model of this name has; None where it has none of that name."""
    import timm
    from timm.models import get_pretrained_cfg

    name = ".".join(str(cfg[part]) for part in ("architecture", "tag") if cfg.get(part))
    if not cfg.get("tag") or not timm.is_model_pretrained(name):
        return None
    return get_pretrained_cfg(name).num_classes
