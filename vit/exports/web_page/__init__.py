"""Export a run as one web page: a file that runs the network in the browser, with no server and no connection.

The file holds ONNX Runtime Web (:mod:`vit.exports.web_page.runtime`), the network, a few sample images and the page's
own modules. It opens from a disk or from any static host.

**The modules** (``assets/``) import each other by the names of their files:

- ``engine``: ``openNetwork(manifest)`` resolves to ``{run(pixels, {headMask}), backend, close}``; ``run`` resolves to
  ``{logits, attention}``. Also ``readManifest()``, ``softmax(logits)`` and ``unpack(id)``.
- ``preprocess``: ``openPicture(file)`` decodes a file, ``prepare(source, preparation, {ready})`` returns
  ``{pixels, shown}``. Samples of the manifest are prepared already: pass ``ready``.
- ``app``: the page's user interface, which is started last, with its parts and the components of :mod:`vit.web`.

**The manifest** (``readManifest()``) has these fields:

- ``title``, ``class_names`` (in the order of the logits; empty for a network without classes), ``image_size``.
- ``attention``, ``head_mask``: whether the network gives attention and takes a head mask.
- ``depth``, ``heads``, ``grid`` ``[rows, columns]``, ``prefix_tokens`` (names, in order), ``summary`` ("class token",
  "mean of the patches" or "mean of all tokens"), ``normalised_over`` ("key" or "query"), ``mixes_positions``, and
  ``caveat``, why a row of a map is not what its token attends to: zero, empty or null for a network without attention.
- ``before``: the ``names`` of the tokens before the patches that a reader can choose, and what they are called
  together: ``short``, and in ``words``.
- ``preparation``: ``image_size``, ``crop_pct``, ``interpolation``, ``ground``, ``mean``, ``std``, and all steps as one
  ``sentence``.
- ``weights``: ``type``, ``bytes`` of the stored network (gzipped), and the comparison with PyTorch in float32 on
  ``images`` images (``measured_on`` says which): ``difference`` (the largest, of a probability),
  ``attention_difference``, ``changed`` (answers that differ), and all of this as one ``sentence``.
- ``samples``: ``name``, ``label``, ``src`` (a data URL of the square that the network sees) and ``licence``.
- ``card``: ``settings`` ``[[title, value], ...]``, ``metrics`` ``{title: text}``, ``curves``
  (:func:`vit.plots.curves.chart`; null before the first step), ``origin`` (a sentence), ``confusion_matrix`` (rows
  true, columns predicted, counts; null without validation images) and its ``class_names``.
- ``words``: the glossary, ``{term: {title, text}}``.

Names of runs and classes come from elsewhere: the page must show them as text, never as markup.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass

from vit.cost.estimate import count_flops
from vit.errors import RunError, SettingsError
from vit.exports.web_page import build, network
from vit.exports.web_page import samples as images
from vit.exports.web_page.build import read_manifest
from vit.exports.web_page.network import WEIGHTS, WeightsType
from vit.exports.web_page.samples import SAMPLES_MAX, default_samples
from vit.runs import Run

__all__ = [
    "BYTES_MAX",
    "SAMPLES_MAX",
    "WEIGHTS",
    "WebPage",
    "WeightsType",
    "default_samples",
    "export_web_page",
    "read_manifest",
]

BYTES_MAX = 400 * 2**20
"""Largest page. Browsers hold a page's text in one string, which has at most 512 MiB in Chromium."""

WEBGPU_FLOPS = 1e9
"""Operations per image from which a page holds the runtime for WebGPU, too. Smaller networks are fast without it."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class WebPage:
    """An exported page.

    Attributes:
        content: the bytes of the HTML file.
        words: a sentence about the weights and their measured difference from PyTorch.
        difference: the largest difference of a probability.
    """

    content: bytes
    words: str
    difference: float


def export_web_page(
    run: Run,
    *,
    weights: WeightsType = "float32",
    samples: int | None = None,
    say: Say = lambda sentence: None,
) -> WebPage:
    """Export the network of a run, with its kept weights, as one web page.

    Args:
        run: the run to export.
        weights: the type in which the weights are stored. The network computes in float32.
        samples: number of validation images in the page. None includes 8 of drawn scenes or of a data set of the
            catalog, and none of the user's own images.
        say: called with a sentence before each slow step.

    Raises:
        SettingsError: ``weights`` or ``samples`` is not possible.
        RunError: the run has no weights, or the page would be too large.
        UserError: onnx, onnxscript or onnxruntime is not installed.
    """
    from vit.exports.web_page.manifest import manifest
    from vit.runs.weights import load_checkpoint

    if weights not in WEIGHTS:
        raise SettingsError(f"Weights of the type {weights!r} cannot be stored: choose one of {', '.join(WEIGHTS)}.")
    if samples is not None and not 0 <= samples <= SAMPLES_MAX:
        raise SettingsError(f"A page holds 0 to {SAMPLES_MAX} sample images, not {samples}.")
    model, info = load_checkpoint(run.path)
    say("Converting the network to ONNX.")
    content = network.export(model, info, weights)
    packed = len(gzip.compress(content, 6))
    split = images.validation_images(info.config.data)
    pictures, kind = images.compared(split, info)
    say(f"Comparing it with PyTorch on {len(pictures)} {kind}.")
    found = network.measure(content, model, pictures)
    sentence = network.sentence(weights, packed, found, kind)
    told = {
        "type": weights,
        "bytes": packed,
        "images": found.images,
        "measured_on": kind,
        "difference": found.outputs,
        "attention_difference": found.attention,
        "changed": found.changed,
        "sentence": sentence,
    }
    count = default_samples(run) if samples is None else samples
    if samples and split is None:
        raise RunError("The sample images are not on this machine: restore the data set, or export without samples.")
    say("Writing the page.")
    webgpu = count_flops(model.config) >= WEBGPU_FLOPS
    page = build.build(manifest(run, model, info, split, count, told), content, webgpu=webgpu)
    if len(page) > BYTES_MAX:
        raise RunError(
            f"The page would have {len(page) / 2**20:.0f} MB, but browsers open {BYTES_MAX // 2**20} MB at most: store "
            "the weights as float16 or int8."
        )
    return WebPage(page, sentence, found.outputs)
