"""Pieces of interface that several pages share: the run picker, the image picker, one look at an image, errors."""

import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from PIL import Image
from streamlit.errors import StreamlitAPIException

from pages import access, foreign_images
from pages.wording import term
from vit import data
from vit.classes import NO_CLASSES, index_of, match, names_of
from vit.config import DataConfig
from vit.data.images import FILE_BYTES_MAX, open_image
from vit.errors import DataError, UserError
from vit.names import shown
from vit.runs import Run

if TYPE_CHECKING:  # torch comes with the first model, not with the first page
    from torch import Tensor, nn

    from vit.explain import Record
    from vit.weights import CheckpointInfo

LISTED_IMAGES = 500
"""So many validation images stand in the list; the others are reached by typing their number."""

BADGE_COLUMNS, CAPTION_COLUMNS = 32, 40
"""Of a name in a badge, and below a small picture."""

SENTENCE_COLUMNS = 1000
"""Of an error: it may quote a name or a link of any length."""

IMAGE_ID = re.compile(r"(?:val-)?(\d{1,9})|pic-([0-9a-f]{16})")


# Words


def plain(text: object, most: int | None = None) -> str:
    """Text from elsewhere (a class, a file, a run) so that Markdown shows it as it is.

    Args:
        most: columns; the middle of a longer text gives way to an ellipsis.
    """
    escaped = re.sub(r"([\\`*_{}\[\]()<>#+\-.!|$~^=&@])", r"\\\1", shown(text, most))
    # Escapes do not reach these: an invisible joiner keeps ":name:" from becoming an icon, addresses from becoming
    # links, and "->" from becoming an arrow.
    joined = re.sub(r"(:(?=[\w/])|@|www(?=\\\.))", "\\1\u2060", escaped, flags=re.IGNORECASE)
    return re.sub(r"(?<=[-<>~])(?=\\[-=>])", "\u2060", joined)


def name_badge(name: str, *, before: str = "", after: str = "", icon: str | None = None, color: str = "gray") -> None:
    """A badge with a name between our own words: shortened so that they stay in sight, and whole for the pointer."""
    # st.badge escapes brackets by itself.
    short = plain(name, BADGE_COLUMNS).replace("\\[", "[").replace("\\]", "]")
    whole = plain(name) if "…" in short and "…" not in name else None
    st.badge(before + short + after, icon=icon, color=color, help=whole)


def show_error(error: Exception) -> None:
    """The sentence of an error, in place of the answer; of one that only asks for a choice, without alarm."""
    if isinstance(error, foreign_images.NoImages):
        st.info(str(error), icon=":material/add_photo_alternate:")
        return
    st.error(plain(access.without_paths(str(error)), SENTENCE_COLUMNS), icon=":material/error:")


# State that a link brings: values are checked before their widget is made, since a widget with a foreign value raises


def settle(key: str, value: Any) -> None:
    """Give ``key`` its value for the widget that follows."""
    if st.session_state.get(key) != value:
        st.session_state[key] = value


def complete(key: str, value: Any) -> None:
    """:func:`settle`, and write the value into the address, so that it can be handed on as it stands.

    For a choice without a constant default. The widget's own default must be None: Streamlit takes a value that equals
    the default out of the address.
    """
    absent = key not in st.query_params
    if absent:
        with suppress(StreamlitAPIException):  # refused while the widget is on the page, which then does it itself
            st.query_params[key] = str(value)
    if absent or st.session_state.get(key) != value:
        st.session_state[key] = value


def stored(key: str) -> Any:
    """What a widget, a link or another page left in ``key``, unchecked."""
    value = st.session_state.get(key)
    return st.query_params.get(key) if value is None else value


def bounded(key: str, low: int, high: int, default: int) -> None:
    """Bring the whole number in ``key`` into bounds; ``default`` must be the widget's own."""
    try:
        value = int(stored(key))
    except (TypeError, ValueError):
        value = default
    settle(key, min(max(value, low), high))


def one_of(key: str, options: Collection[str]) -> None:
    """Empty the choice in ``key`` where it is none of ``options``; the widget's own default must be None."""
    if stored(key) not in (None, *options):
        st.session_state[key] = None


def named(key: str, titles: Mapping[str, str]) -> None:
    """:func:`one_of` for a choice among names that shows their titles: a link may carry either.

    Streamlit writes into the address what the control shows; the name is what the command line takes.
    """
    linked = st.query_params.get(key)
    if titles.get(linked, linked) != linked:
        # The widget would take a name that it does not show out of the address, so it meets the title there.
        st.session_state.pop(key, None)
        st.query_params[key] = titles[linked]
        st.rerun()
    asked = stored(key)
    if asked not in (None, *titles, *titles.values()):
        st.session_state[key] = None
    elif asked in titles:
        settle(key, asked)


def among(key: str, titles: Mapping[str, str], default: str) -> None:
    """:func:`named` for a control that always has a choice, ``default`` where there is none of ``titles``."""
    asked = stored(key)
    names = {title: name for name, title in titles.items()}
    if asked is not None:
        settle(key, asked if asked in titles else names.get(asked, default))


# Runs


def pick_run(*, width: int | str = "stretch") -> Run | None:
    """A select box over the runs with weights, bound to ``?run=``; None, and the way to Train, where there is none."""
    found = {run.name: run for run in access.my_runs() if run.has_weights}
    if not found:
        with st.container(border=True, horizontal_alignment="center"):
            st.markdown("#### No trained run yet", text_alignment="center")
            empty = [plain(run.name, BADGE_COLUMNS) for run in access.my_runs()]
            if empty:
                st.caption(
                    f"Without weights there is nothing to look at in {', '.join(empty[:3])}: let it train to the end "
                    "of an epoch, or start it over on the Train page.",
                    text_alignment="center",
                )
            st.caption("Train a model first; a small one takes a minute or two.", text_alignment="center")
            st.page_link("train.py", label="Train a model", icon=":material/model_training:")
        return None
    asked = stored("run")
    name = asked if asked in found else next(iter(found))
    if asked not in (None, name):
        missing = plain(asked, BADGE_COLUMNS)
        st.toast(f"There is no run {missing} with weights; this is {plain(name)}.", icon=":material/info:")
    complete("run", name)
    chosen = found.get(
        st.selectbox("Run", list(found), index=None, key="run", bind="query-params", width=width, help=term("run")),
        found[name],
    )
    if foreign_images.are_needed(chosen.config):
        foreign_images.choose()
    return chosen


def show_no_classes(run: Run, says: str = NO_CLASSES) -> None:
    """That the run's network has no classes, in a sentence, and the ways on."""
    from pages.train_start import fine_tune_link  # it brings the Train page's controls

    st.info(says, icon=":material/info:")
    with st.container(horizontal=True):
        link = {"run": run.name}
        st.page_link("attention.py", label="See its attention", icon=":material/visibility:", query_params=link)
        st.page_link("tokens.py", label="Look at its tokens", icon=":material/apps:", query_params=link)
        fine_tune_link(run)


def load_model(run: Run) -> "tuple[nn.Module, CheckpointInfo]":
    """The run's kept model, shared by all sessions and frozen, and what goes with it.

    Raises:
        RunError: its weights are gone or damaged.
    """
    return load_path(str(access.see(run).path), run.stamp)


@st.cache_resource(max_entries=4, show_spinner="Loading the model")
def load_path(path: str, stamp: int) -> "tuple[nn.Module, CheckpointInfo]":
    """:func:`load_model` for cached functions, whose arguments are the key."""
    from vit.weights import load_checkpoint

    return load_checkpoint(path)


@st.cache_resource(ttl=3600, max_entries=4, show_spinner="Preparing the validation images")  # asked for: kept on disk
def _validation(config: str) -> data.ImageData:
    return data.load(DataConfig.from_json(config), splits=("val",))


def validation(run: Run) -> data.ImageData:
    """The images that the run is validated on, ``.val``, decoded once and memory-mapped; of a model that came trained
    those that were chosen in their place, with classes of their own.

    Raises:
        DataError: the data set is gone or was changed, or none was chosen.
    """
    return _validation(foreign_images.taken(access.see(run).config).model_dump_json())


def judged(run: Run) -> data.Split:
    """Those images with the model's own labels, to hold its answers against.

    Raises:
        DataError: as :func:`validation`, or the images have classes that the model does not know.
    """
    images, config = validation(run), run.config
    if not foreign_images.are_needed(config):
        return images.val
    ours = match(images.class_names, names_of(config), data.title(images.source))
    return replace(images.val, labels=ours[np.asarray(images.val.labels)])


def measured_on(run: Run) -> tuple[str, int, str]:
    """Names what is measured on a run's images: the run, its weights, and the images where they are not its own."""
    return str(run.path), run.stamp, foreign_images.source() if foreign_images.are_needed(run.config) else ""


# Images


@dataclass(frozen=True)
class PickedImage:
    """One image by its id, ``val-17`` or ``pic-<hash>``; ``label`` where it is known."""

    id: str
    title: str
    image: Image.Image
    label: str | None = None


def open_id(image_id: str, run: Run) -> PickedImage:
    """The image that an id names.

    Raises:
        DataError: it is not there.
    """
    found = IMAGE_ID.fullmatch(image_id)
    if found is None:
        raise DataError(f"{image_id!r} names no image: write val-17 for validation image 17.")
    if found[2]:
        return PickedImage(image_id, "uploaded picture", access.open_picture(found[2]))
    images = validation(run)
    split, index = images.val, int(found[1])
    if index >= len(split.labels):
        raise DataError(f"There is no validation image {index}: the last one is {len(split.labels) - 1}.")
    pixels = np.ascontiguousarray(np.moveaxis(split.images[index], 0, -1))
    return PickedImage(
        id=image_id,
        title=f"validation image {index}",
        image=Image.fromarray(pixels),
        label=images.class_names[int(split.labels[index])],
    )


def pick_image(run: Run) -> PickedImage | None:
    """The controls for one image, bound to ``?image=``: a list, steps back and forth, an upload. They want a row.

    None, and a sentence, where the run's data set is gone and no picture was uploaded.
    """
    image_id = known_image(stored("image"), run)
    try:
        validation(run)
    except DataError as error:
        if image_id is None or not isinstance(error, foreign_images.NoImages):
            show_error(error)
    count = _count(run)
    if image_id is None:
        st.caption("Upload a picture to look at it:")
        _upload_button()
        return None
    complete("image", image_id)
    chosen = st.selectbox(
        "Image",
        listed_images(run, image_id),
        index=None,
        key="image",
        bind="query-params",
        accept_new_options=True,
        help=f"val-0 to val-{count - 1} are the validation images; type a number to go to one. "
        "pic-… are uploaded pictures.",
        width=180,
    )
    on_validation = image_id.startswith("val-")
    steps = [("Previous", "chevron_left", -1), ("Next", "chevron_right", 1), ("Random", "casino", 0)]
    for label, icon, step in steps:
        st.button(
            label,
            icon=f":material/{icon}:",
            icon_position="right" if step > 0 else "left",
            key=f"image_{label.lower()}",
            on_click=_step,
            args=(step, count),
            disabled=count < 2 or (step != 0 and not on_validation),
        )
    _upload_button()
    if chosen is not None and chosen != known_image(chosen, run):
        st.rerun()  # a link to what is not there; the next run puts it right before the list is made
    try:
        return open_id(chosen or image_id, run)
    except DataError as error:
        show_error(error)
        return None


def _count(run: Run) -> int:
    """Validation images of the run's data set; 0 where that is gone."""
    try:
        return len(validation(run).val.labels)
    except DataError:
        return 0


def _pictures() -> list[str]:
    return [f"pic-{picture}" for picture in access.list_pictures()]


def listed_images(run: Run, *chosen: str) -> list[str]:
    """The ids that a list of images offers: those that are chosen, the first validation images, uploaded pictures."""
    listed = [f"val-{index}" for index in range(min(_count(run), LISTED_IMAGES))] + _pictures()
    return [one for one in chosen if one not in listed] + listed


def known_image(asked: Any, run: Run) -> str | None:
    """The id of an image that exists, the nearest to what was asked for; None where there is none at all."""
    found = IMAGE_ID.fullmatch(str(asked or "").strip().lower())
    pictures, count = _pictures(), _count(run)
    if found and found[2] and found[0] in pictures:
        return found[0]
    if count:
        return f"val-{min(int(found[1]), count - 1) if found and found[1] else 0}"
    return pictures[0] if pictures else None


def next_image(image_id: str, run: Run) -> str:
    """The validation image after this one, the first after the last; where there are none, the image itself."""
    found, count = IMAGE_ID.fullmatch(image_id), _count(run)
    here = int(found[1]) if found and found[1] else -1
    return f"val-{(here + 1) % count}" if count else image_id


def _step(step: int, count: int) -> None:
    found = IMAGE_ID.fullmatch(str(st.session_state.get("image")))
    here = int(found[1]) if found and found[1] else 0
    st.session_state["image"] = f"val-{(here + step) % count if step else random.randrange(count)}"


def _upload_button() -> None:
    with st.popover("Upload", icon=":material/upload:"):
        st.file_uploader(
            "A picture of your own",
            key="attention_upload",
            on_change=_take_upload,
            max_upload_size=access.upload_mb(FILE_BYTES_MAX // 2**20),
            help=access.own_words() or None,
        )
        if problem := st.session_state.get("attention_upload_problem"):
            show_error(DataError(problem))


def _take_upload() -> None:
    file = st.session_state["attention_upload"]
    st.session_state["attention_upload_problem"] = None
    if file is None:
        return
    try:
        st.session_state["image"] = f"pic-{access.save_picture(open_image(file, name=file.name))}"
    except UserError as error:
        st.session_state["attention_upload_problem"] = str(error)


def attention_link(run: Run, image_id: str, *, label: str = "See its attention", **view: int) -> None:
    """The way to the Attention page with this run and image, and with ``layer``, ``head`` and ``token`` of a view."""
    st.page_link(
        "attention.py",
        label=label,
        icon=":material/visibility:",
        query_params={"run": run.name, "image": image_id} | {name: str(number) for name, number in view.items()},
    )


def show_answer(
    picked: PickedImage,
    names: Sequence[str],
    probabilities: np.ndarray,
    *,
    when: str = "predicted",
    asked: Iterable[int] = (),
) -> None:
    """The image's name and class, what a network says of it, and how likely it finds the classes asked about.

    Args:
        probabilities: of the classes ``names``, ``(k,)``; none of a network without classes.
        when: what stands before the answer.
    """
    if not len(probabilities):
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.markdown(plain(picked.title[:1].upper() + picked.title[1:]), width="content")
            if picked.label is not None:
                name_badge(picked.label, before="true: ")
            st.badge("features, no classes", color="gray", help=NO_CLASSES)
        return
    best = int(probabilities.argmax())
    true = None if picked.label is None else index_of(picked.label, tuple(names))
    right = None if true is None else true == best  # another data set's class may be none of the model's
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(plain(picked.title[:1].upper() + picked.title[1:]), width="content")
        if picked.label is not None:
            name_badge(picked.label, before="true: ")
        name_badge(
            names[best],
            before=f"{when}: ",
            after=f", {probabilities[best]:.1%}",
            icon={None: None, True: ":material/check:", False: ":material/close:"}[right],
            color={None: "blue", True: "green", False: "red"}[right],
        )
        for index in asked:
            if index != best:
                name_badge(names[index], after=f": {probabilities[index]:.1%}")


# The attention of one image


@dataclass(frozen=True)
class Look:
    """What a transformer made of one image.

    Attributes:
        record: the recorded pass.
        attention: ``(depth h n m)`` float32, shared with the record.
        probabilities: of the classes, ``(k,)``; none of a network without classes.
    """

    record: "Record"
    attention: np.ndarray
    probabilities: np.ndarray


def look(run: Run, image: PickedImage) -> Look:
    """Run the model over an image and record its attention.

    Raises:
        ExplainError: the model has no attention maps, or more than can be kept; the message says so.
        UserError: the run cannot be loaded.
    """
    from vit.explain.parts import require_room

    require_room(run.config.model)
    return _look(str(access.see(run).path), run.stamp, image.image)


@st.cache_resource(max_entries=2, show_spinner=False)  # a ViT-B's record takes 60 MB
def _look(path: str, stamp: int, image: Image.Image) -> Look:
    from vit.explain import capture, class_probabilities
    from vit.explain.capture import in_one_array

    model, info = load_path(path, stamp)
    record = capture(model, model_input(info, image))
    return Look(*in_one_array(record), class_probabilities(model, record.logits)[0])


def looked_at(run: Run, image: Image.Image) -> Image.Image:
    """The part of an image that the run's network looks at, with all the pixels that it has: what lies below maps."""
    from vit.data.images import crop_square

    size = run.config.data
    return crop_square(image, size.image_size, size.crop_pct)


def view_of(run: Run, image: Image.Image) -> np.ndarray:
    """The image as the run's network sees it, ``(h w c)`` uint8."""
    from vit.data.images import fit_square

    size = run.config.data
    return fit_square(image, size.image_size, size.crop_pct, size.interpolation)


def version(run: Run, *of: object) -> str:
    """Names what a run's network makes of something, such as an image's id, to the browser, which learns no path."""
    path, stamp, images = measured_on(run)
    return "/".join(map(str, (Path(path).name, stamp, sha1(images.encode()).hexdigest()[:8] if images else "", *of)))


def deviation(run: Run, image: PickedImage) -> float:
    """How far the logits that follow from the recorded maps are from the model's own, at most.

    In shares of the largest logit where that is above 1.
    """
    return _deviation(str(access.see(run).path), run.stamp, image.image)


@st.cache_data(max_entries=256, show_spinner=False)
def _deviation(path: str, stamp: int, image: Image.Image) -> float:
    import torch

    from vit.explain import recompute

    model, info = load_path(path, stamp)
    images = model_input(info, image)
    with torch.inference_mode():
        own = model(images)  # fused, as in training and prediction
    found = recompute(model, images, _look(path, stamp, image).record)
    return ((found - own).abs().max() / own.abs().max().clamp(min=1)).item()


def model_input(info: "CheckpointInfo", image: Image.Image) -> "Tensor":
    """A batch of this one image, ``(1 c h w)``, normalised."""
    from vit.evaluation import model_input

    return model_input(info, image)
