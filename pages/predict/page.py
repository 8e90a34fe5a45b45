"""Predict: what a model predicts for uploaded images or images of its data set."""

import random
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from pages import access
from pages.ui import cached_models, run_picker, text
from pages.ui.answer import attention_link
from pages.ui.cached_models import PickedImage, prediction
from pages.ui.demo_notice import upload_words
from pages.ui.downloads import plotly_config
from pages.ui.images import image_picker, upload
from pages.ui.images.gallery import show_gallery
from pages.ui.navigation import from_history, has_arrived
from pages.ui.run_doubts import show_run_doubts
from pages.ui.text import plain
from pages.ui.widgets.image_tools import image_tools
from pages.ui.widgets.live_camera import WORDS, live_camera
from pages.ui.wording import term
from vit import plots
from vit.data.files.images import HEAVY_PIXELS_MAX, PIXELS_MAX
from vit.errors import DataError, UserError
from vit.runs import Run

SHOWN_MAX = 24  # older images are removed
SAMPLES = 4
VIEW_SIDE = 448  # pixels; an image of this size stays sharp when the browser fits it into a card


UNLIKE = (
    "The features that the last layer reads are farther from those of known images than for 95% of the validation "
    "images. The model was not trained on pictures of this kind, so do not trust its answer, however high the "
    "probability. Some pictures of another kind are not noticed."
)


def describe_grey(names: tuple[str, ...], probabilities: np.ndarray) -> str:
    """Say what the model answers to a grey picture."""
    best = int(probabilities.argmax())
    return (
        f"A picture that is grey everywhere gets **{plain(names[best])}**, {probabilities[best]:.1%}: a "
        "probability says which class fits best, not that one of them fits."
    )


def shown() -> list[str]:
    """Return the ids of the images on the page, newest first; they are kept in the session and in the address."""
    if "predict_shown" not in st.session_state:
        asked = dict.fromkeys(st.query_params.get("pictures", "").split(","))  # a link may contain an id twice
        st.session_state["predict_shown"] = [one for one in asked if cached_models.IMAGE_ID.fullmatch(one)][:SHOWN_MAX]
    return st.session_state["predict_shown"]


def add(images: list[str]) -> None:
    """Put images before those on the page.

    Args:
        images: their ids.
    """
    st.session_state["predict_shown"] = [*images, *(one for one in shown() if one not in images)][:SHOWN_MAX]


def choose(images: list[str]) -> None:
    """Show these images only; new ones come first."""
    new = [one for one in images if one not in shown()]
    st.session_state["predict_shown"] = [*new, *(one for one in shown() if one in images)][:SHOWN_MAX]


def take(files: list[Any], run: Run, called: str = "") -> None:
    """Store the files that are images, and keep an error message for the others.

    Args:
        files: the uploaded files; only the first :data:`SHOWN_MAX` are taken.
        run: the run, whose settings say how transparent and deep images are read.
        called: a name that replaces the file names.
    """
    images, problems = [], []
    if len(files) > SHOWN_MAX:
        problems.append(f"Only the first {SHOWN_MAX} of {len(files):,} images were taken. Upload the others next.")
    for file in files[:SHOWN_MAX]:
        try:
            images.append(upload.save_upload(file, run, called))
        except UserError as error:
            problems.append(str(error))
    st.session_state["predict_problems"] = problems
    add(list(dict.fromkeys(images)))


def take_uploads(run: Run) -> None:
    """Take the uploaded files; a new key then gives an empty uploader."""
    round_ = st.session_state.get("predict_round", 0)
    files = [file for file in st.session_state[f"predict_files_{round_}"] if access.is_there(file)]
    take(files, run)
    access.release(*files)
    st.session_state["predict_round"] = round_ + 1


def take_photo(run: Run) -> None:
    """Take the photo, unless it was just cleared."""
    photo = st.session_state["predict_photo"]
    if access.is_there(photo):
        take([photo], run, "photo")


def take_samples(run: Run) -> None:
    """Take a few random validation images."""
    try:
        count = len(cached_models.validation_split(run).labels)
    except DataError as error:
        st.session_state["predict_problems"] = [str(error)]
        return
    st.session_state["predict_problems"] = []
    add([f"val-{index}" for index in random.sample(range(count), min(SAMPLES, count))])


def clear() -> None:
    """Remove all images and error messages."""
    st.session_state.update(predict_shown=[], predict_problems=[])


def show_result(run: Run, class_names: tuple[str, ...], picked: PickedImage) -> None:
    """Show one card: the image, the probabilities of its classes, and a link to Attention."""
    view, probabilities = prediction(run, picked.image)
    output = cached_models.output_of(run, picked.image)
    side = max(1, VIEW_SIDE // view.shape[0]) * view.shape[0]  # a whole multiple keeps the pixels sharp
    with st.container(border=True):
        if output is None:
            best = int(probabilities.argmax())
            st.markdown(f"**{plain(class_names[best])}** :small[{probabilities[best]:.1%}]")
        else:
            st.markdown(f"Output: **{output:.4g}**")
        if cached_models.is_unlike(run, picked.image):
            st.badge("unlike the training images", icon=":material/help:", color="orange", help=UNLIKE)
        picture, bars = st.columns([2, 3], vertical_alignment="center")
        picture.image(
            Image.fromarray(view).resize((side, side), Image.Resampling.NEAREST),
            width="stretch",
            alt=f"{picked.title} as the model sees it",
        )
        if output is None:
            bars.plotly_chart(
                plots.probability_bars(class_names, probabilities.tolist(), top=5),
                key=f"bars_{picked.id}",
                config=plotly_config("probabilities"),
                alt="Bars of the class probabilities",
            )
        else:
            bars.caption("The network computes a single number, so there are no class probabilities.")
        truth = "" if picked.label is None else f", true: {plain(picked.label)}"
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.caption(plain(picked.title) + truth, width="content")
            attention_link(run, picked.id)


st.title("Predict", anchor=False)
st.caption(
    "Upload images and see what a trained model predicts: the bars are the probabilities of the classes.",
    help=term("logits", "softmax"),
)
if "pictures" in st.query_params and (has_arrived() or from_history()):
    st.session_state.pop("predict_shown", None)  # the images of the link, not those of the last visit
choice, _ = st.columns([2, 3])
with choice:
    run = run_picker.pick_run()
if run is None:
    st.stop()
try:
    info = cached_models.load_model(run)[1]
except UserError as error:
    text.show_error(error)
    st.stop()
if not info.config.model.num_classes:
    run_picker.show_no_classes(run)
    st.stop()
show_run_doubts(run)

with st.container(border=True):
    with st.container(key="predict_upload"):
        st.file_uploader(
            "Upload images",
            accept_multiple_files=True,
            key=f"predict_files_{st.session_state.get('predict_round', 0)}",
            on_change=take_uploads,
            args=(run,),
            max_upload_size=upload.upload_mb(),
            help="JPEG, PNG, WebP, GIF, BMP or TIFF.",
        )
    st.caption(
        "You can drop images anywhere on this page, or paste them (Ctrl+V). "
        f"Up to {upload.upload_mb()} MB and {PIXELS_MAX // 10**6} million pixels each "
        f"({HEAVY_PIXELS_MAX // 10**6} million as WebP or TIFF); this page keeps the last {SHOWN_MAX} images. "
        f"{upload_words()}"
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        show_gallery(
            run, None, key="predict_gallery", label="Gallery", on_pick=choose, chosen=tuple(shown()), most=SHOWN_MAX
        )
        st.button(
            "Sample images",
            icon=":material/casino:",
            on_click=take_samples,
            args=(run,),
            help="Random validation images",
        )
        camera = st.toggle("Camera", key="predict_camera", help="Works only over https or on localhost.")
        live = st.toggle("Live", key="live", bind="query-params", help=WORDS, width="content")
        if shown() or st.session_state.get("predict_problems"):
            st.button("Clear", icon=":material/close:", on_click=clear, type="tertiary")
        image_tools("predict_upload", key="image_tools", many=True, has_button=False)
    if live:
        live_camera(run, uploader="predict_upload", key="live_camera")
    if camera:
        st.camera_input("Take a photo", key="predict_photo", on_change=take_photo, args=(run,), width=420)

for problem in st.session_state.get("predict_problems", []):
    text.show_error(DataError(problem))

if shown():
    st.query_params["pictures"] = ",".join(shown())
    cut = "" if info.crop_pct == 1 else f" ({info.crop_pct:.0%} of its width and height)"
    st.caption(
        f"Each image as the model sees it: the central square{cut}, at {info.image_size} x {info.image_size} pixels. "
        + (
            f"The model has {len(info.class_names):,} classes and always predicts one of them."
            if info.class_names
            else "The model computes a single number for each of them."
        )
    )
    if (grey := cached_models.grey_answer(run)) is not None:
        st.caption(describe_grey(info.class_names, grey))
    cached_models.familiarity(run)  # takes seconds the first time, and shows that above the cards
    with st.grid(2, min_column_width=380):
        for image_id in shown():
            try:
                picked = image_picker.open_id(image_id, run)
            except UserError as error:
                with st.container():
                    text.show_error(error)
                continue
            show_result(run, info.class_names, picked)
else:
    st.query_params.pop("pictures", None)
    st.caption("No images yet. Upload one, or try some sample images.")
