"""Find the class names of a published model, read them from a file, and tell classes from other outputs."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vit.errors import UserError
from vit.support.untrusted_text import CLASS_NAME_MAX, is_unicode

FILE_BYTES_MAX = 4 * 2**20
"""Longest file of class names; ImageNet's 21,843 classes have half a megabyte."""
_SYNSET = re.compile(r"n\d{8}")
_DEFINITION_WORDS = 5
_ASIDE = re.compile(r"^\([^)]*\)\s*")
_LOOSE = {"a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "that", "the", "to", "with"}
"""Words that a shortened definition must not end with."""


def class_names(cfg: Mapping[str, Any], count: int) -> tuple[str, ...] | None:
    """Return distinct names of ``count`` classes, or None if they are unknown.

    The names come from the ``pretrained_cfg``, or from ImageNet if the number of classes is that of one of its sets. An
    ImageNet class is named by its first lemma. Where two classes share it (the two cranes), the beginning of the
    definition is added.
    """
    return _given(cfg, count) or _imagenet(cfg, count)


def _given(cfg: Mapping[str, Any], count: int) -> tuple[str, ...] | None:
    names = cfg.get("label_names")
    if isinstance(names, Mapping):  # by index, as timm writes them where indices are missing
        names = [names.get(str(index), names.get(index, f"class {index}")) for index in range(count)]
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
    """Make names distinct: add ``more(index)`` in brackets to equal names, and a number if they are still equal."""
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
    """Return whether the ``count`` outputs of a pretrained model of timm are an embedding and not classes.

    CLIP's image encoders are such models: their output is compared with the embedding of a text. All classifiers of
    timm use one of ImageNet's sets of classes; models from elsewhere bring their own class names.
    """
    return count > 0 and zoo_outputs(cfg) == count and class_names(cfg, count) is None


def may_be_projection(cfg: Mapping[str, Any], count: int) -> bool:
    """Return whether a pretrained model of the same architecture has an embedding of ``count`` numbers as its output.

    This says nothing about a file of weights unless its head has no bias, as an embedding's has none.
    """
    import timm

    architecture = cfg.get("architecture")
    tags = {name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}*")}
    return any(is_projection({"architecture": architecture, "tag": tag}, count) for tag in tags if tag)


def zoo_outputs(cfg: Mapping[str, Any]) -> int | None:
    """Return the number of outputs of timm's model of this name, or None if timm has no such model."""
    import timm
    from timm.models import get_pretrained_cfg

    name = ".".join(str(cfg[part]) for part in ("architecture", "tag") if cfg.get(part))
    if not cfg.get("tag") or not timm.is_model_pretrained(name):
        return None
    found = get_pretrained_cfg(name)
    return None if found is None else found.num_classes


def read_file(path: Path) -> tuple[str, ...]:
    """Read the names of classes from a file: one name on each line, or JSON.

    JSON is a list of names, an object of names by index, or an object that holds one of these as ``label_names``,
    ``class_names`` or ``id2label``.

    Raises:
        UserError: the file cannot be read, or holds no names.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if len(content) > FILE_BYTES_MAX:
        raise UserError(f"{path.name} is longer than {FILE_BYTES_MAX // 2**20} MB: give a file of class names.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not text in UTF-8: write one class name on each line.") from error
    names = _names_in_json(text) if text.lstrip()[:1] in ("[", "{") else [line.strip() for line in text.splitlines()]
    while names and names[-1] == "":
        names.pop()
    if not names or not all(isinstance(name, str) and name.strip() and is_unicode(name) for name in names):
        raise UserError(f"{path.name} holds no list of class names: write one name on each line, without empty lines.")
    found = tuple(name.strip()[:CLASS_NAME_MAX] for name in names)
    if twice := [name for name, times in Counter(found).items() if times > 1]:
        raise UserError(f"{path.name} holds the class name {twice[0][:60]!r} twice: give each class its own name.")
    return found


def check_count(names: Sequence[str] | None, outputs: int) -> None:
    """Raise a UserError if names were given, but not one for each output of a model."""
    if names is not None and len(names) != outputs:
        raise UserError(
            f"{len(names):,} class names were given, but the model has {outputs:,} outputs: give one for each."
        )


def _names_in_json(text: str) -> list[Any]:
    """Return the names in JSON; an empty list if it holds none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if isinstance(found, dict):
        found = next((found[key] for key in ("label_names", "class_names", "id2label") if key in found), found)
    if isinstance(found, dict):
        found = [found.get(str(index)) for index in range(len(found))]
    return found if isinstance(found, list) else []
