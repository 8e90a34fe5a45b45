"""Choose the scene whose object a network attends to most, and record its attention for the Overview page."""

from collections.abc import Callable

import numpy as np

from vit.data import scenes
from vit.data.files.images import prepared_image
from vit.errors import ExplainError
from vit.evaluation import model_input
from vit.explain.passes.memory import require_room
from vit.explain.recording import attention_arrays, capture, class_probabilities, token_rows
from vit.networks import Network
from vit.runs import Run
from vit.runs.example import BYTES_MAX, AttentionExample, compress, object_cover, on_object, write_example
from vit.runs.weights import CheckpointInfo, load_checkpoint

CANDIDATES = 50
"""Number of validation scenes that are compared."""


def choose_example(
    model: Network,
    info: CheckpointInfo,
    *,
    count: int = CANDIDATES,
    progress: Callable[[int, int], None] | None = None,
) -> AttentionExample:
    """Return the scene whose object gets the largest excess of attention, with its attention.

    The excess is the share of the summary token's attention to patches that lies on the object, averaged over all heads
    of all layers, minus the share of the image that the object covers, which uniform attention would have. Scenes that
    the network misclassifies are chosen only if there are no others.

    Args:
        model: a ViT that was trained on scenes.
        info: its checkpoint information.
        count: number of validation scenes that are compared, from the first.
        progress: called with (done, total).

    Raises:
        ExplainError: the attention takes too much memory, or more than :data:`vit.runs.example.BYTES_MAX` weights.
    """
    require_room(model.config)
    images = info.config.data
    best, found = (False, -np.inf), None
    for index in range(count):
        pixels, mask, label = scenes.draw(index, split="val", image_size=images.image_size, seed=images.seed)
        record = capture(model, model_input(info, prepared_image(pixels)))
        attention = attention_arrays(record)
        if attention.size > BYTES_MAX:
            raise ExplainError(f"The attention of one image has {attention.size:,} weights; {BYTES_MAX:,} is the most.")
        probabilities = class_probabilities(model, record.logits)[0]
        cover = object_cover(mask, record.grid)
        inside = on_object(token_rows(record, attention, 0), cover, record.prefix_tokens)
        score = bool(probabilities.argmax() == label), float(inside.mean() - cover.mean())
        if found is None or score > best:
            best, found = score, (index, attention, probabilities)
        if progress is not None:
            progress(index + 1, count)
    assert found is not None  # count is at least 1
    return compress(*found)


def keep_example(run: Run) -> AttentionExample:
    """Choose the example of a run's kept weights and store it in the run's folder."""
    model, info = load_checkpoint(run.path)
    example = choose_example(model, info)
    write_example(run.path, example)
    return example
