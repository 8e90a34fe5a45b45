"""What a new run will do, in one sentence."""

from pages.ui.text import plain
from pages.ui.wording import about, quantity
from vit.config import CNNConfig, DataConfig, ReferenceConfig, RunConfig, TransformerConfig
from vit.cost.estimate import Estimate
from vit.data import SCENES, DataInfo


def summary_words(config: RunConfig, info: DataInfo, cost: Estimate) -> str:
    """Return a sentence, as Markdown, on which network learns what from how many images, and how long that takes.

    Args:
        config: the run.
        info: its images.
        cost: its cost; without a time the sentence has none.
    """
    epochs = config.training.epochs
    said = f"{network_words(config)} {task_words(config, info)}, in {quantity(epochs, 'epoch')}"
    if cost.seconds is None:
        return f"{said}."
    rough = "" if cost.measured else ", a rough estimate"
    return f"{said}: **{about(cost.seconds)}** on this machine{rough}."


def network_words(config: RunConfig) -> str:
    """Name the network, and the run whose weights it starts from."""
    model, start = config.model, config.start
    match model:
        case TransformerConfig():
            kind = "The course network" if isinstance(model, ReferenceConfig) else "A Vision Transformer"
            said = f"{kind} with **{quantity(model.depth, 'layer')}** of **{quantity(model.num_heads, 'head')}**"
            if isinstance(model, ReferenceConfig) and model.mended:
                said += f" and {quantity(len(model.mended), 'mended departure')}"
        case CNNConfig():
            said = f"A {model.title}"
        case _:
            said = f"A network of the kind {model.name}"
    return f"{said}, started from the weights of **{plain(start.run)}**," if start else said


def task_words(config: RunConfig, info: DataInfo) -> str:
    """Say what the network learns, and from which images."""
    images = image_words(config.data, info)
    match config.training.learn_from:
        case "dino":
            return f"learns without labels to see that crops of one image belong together, from {images}"
        case "mae":
            return f"learns without labels to reconstruct hidden patches of {images}"
    classes = len(info.class_names)
    kinds = f"**{classes:,}** kinds of objects" if info.source == SCENES else f"**{classes:,}** classes"
    learns = (
        "has only its classification head trained to name" if config.start and config.start.frozen else "learns to name"
    )
    return f"{learns} {kinds} from {images}"


def image_words(images: DataConfig, info: DataInfo) -> str:
    """Return the number and the kind of the training images."""
    count = images.train_images or info.train_count
    if info.source == SCENES:
        return f"**{count:,}** drawn scenes"
    return f"**{count:,}** images of {plain(info.title)}"
