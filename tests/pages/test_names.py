"""Pages with classes, runs and links that strangers named: every page comes up, and no name is read as markup."""

import json
import re
from collections.abc import Iterator

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.ui.text import plain
from tests.helpers import foreign_names
from tests.pages.opening import open_page
from vit import runs
from vit.data.files.pictures import save_picture

LITERAL = {
    "Selectbox.options",
    "Selectbox.placeholder",
    "Selectbox.raw_value",
    "MultiSelect.options",
    "TextInput.default",
    "TextInput.value",
    "TextInput.placeholder",
    "Code.code_text",
    "ImageList.imgs.alt",
    "PlotlyChart.alt",
    "ArrowVegaLiteChart.alt",
    "Button.icon",
    "BidiComponent.json",  # the scripts of components write text alone: tests/browser/test_names.py
    "BidiComponent.mixed.json",
    "Markdown.agent_props",
}
"""Fields that the browser shows as they are, whatever they hold."""

READ = [
    *(name for name in foreign_names.ANY_NAMES if plain(name) != name and len(name) > 4),
    foreign_names.MESSAGE,
    foreign_names.SOURCE,
]
"""Names that would be something else where they are read as Markdown or HTML."""

READ_BY = {
    "PlotlyChart.spec": [name for name in READ if set("<$%") & set(name)],
    "Html.body": [name for name in READ if "<" in name],
}

VIEWS = (
    "overview",
    "train",
    "train?show=Follow a run",
    "runs",
    "predict",
    "evaluate",
    "attention",
    "attention?show=Contribution",
    "relevance",
    "tokens",
    "tokens?aspect=Logit lens",
    "heads",
    "heads?view=Importance",
    "heads?view=Similarity of layers",
    "compare",
    "intervene",
    "timelapse",
    "faithfulness",
    "anatomy",
)
LINKS = (
    "run",
    "image",
    "class",
    "against",
    "beside",
    "data",
    "folder",
    "true",
    "predicted",
    "right",
    "pictures",
    "method",
)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with the runs of :func:`tests.helpers.foreign_names.make_runs`, and the id of a picture."""
    with foreign_names.house(tmp_path_factory.mktemp("names")) as photos:
        foreign_names.add_broken("<img src=x onerror=alert(1)>")
        yield photos, f"pic-{save_picture(Image.new('RGB', (40, 40), 'red'))}"


def strings(message, path: str) -> Iterator[tuple[str, str]]:
    """Every string of a message to the browser, with the place where it stands."""
    for field, value in message.ListFields():
        many = value if field.is_repeated else [value]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        for one in many:
            if field.message_type is not None:
                yield from strings(one, f"{path}.{field.name}")
            elif isinstance(one, str):
                yield f"{path}.{field.name}", one


def elements(node) -> Iterator:
    for child in getattr(node, "children", {}).values():
        if getattr(child, "proto", None) is not None:
            yield child.proto
        yield from elements(child)


def leaves(value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from leaves(one)


def told(app: AppTest) -> Iterator[tuple[str, str]]:
    """What a page tells the browser that is read as Markdown or HTML, or by Plotly."""
    for proto in elements(app._tree):
        for place, text in strings(proto, type(proto).__name__):
            if place == "PlotlyChart.spec":
                yield from ((place, one) for one in leaves(json.loads(text)))
            elif place not in LITERAL:
                yield place, text


def check(app: AppTest) -> None:
    assert not app.exception
    for place, text in told(app):
        found = [name for name in READ_BY.get(place, READ) if name in text]
        assert not found, f"{place}: {found[0]!r} in {text[:200]!r}"
        assert not re.search("[\u202a-\u202e\u2066\u2067\x00-\x08\x0e-\x1f\ud800-\udfff]", text), (place, text[:200])


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("run", ["named", "uploaded"])
def test_every_page_shows_such_names_as_they_are(house, view, run):
    page, _, choice = view.partition("?")
    link = dict([choice.split("=")]) if choice else {}
    app = open_page(page, run=run, image="val-3" if run == "named" else house[1], **link)
    check(app)
    answer = plain(foreign_names.FOLDER_NAMES[0])
    if (page, run) in (("relevance", "uploaded"), ("intervene", "uploaded"), ("tokens", "named")):
        short = plain(foreign_names.FOLDER_NAMES[0], 32).replace("\\[", "[").replace("\\]", "]")
        assert any(answer in text or short in text for _, text in told(app))


def test_a_data_set_of_such_names_is_offered_for_training(house):
    app = open_page("train", data="Files on this machine", folder=str(house[0]), form="All settings")
    check(app)
    assert any(plain(foreign_names.FOLDER_NAMES[10]) in text for _, text in told(app))


def test_a_folder_with_such_a_name_is_no_run_and_pages_say_so(house):
    for page in ("overview", "runs"):
        app = open_page(page)
        check(app)
        assert any("onerror\\=alert" in text for _, text in told(app))
        assert not any("onerror" in option for box in app.selectbox for option in box.options if box.key == "run")


@pytest.mark.parametrize(
    "page", ["attention", "predict", "evaluate", "relevance", "compare", "timelapse", "train", "runs"]
)
@pytest.mark.parametrize("text", [foreign_names.FOLDER_NAMES[0], "../../\u202ea\x00b\n" + "w" * 300])
def test_a_link_may_say_what_it_likes(house, page, text):
    check(open_page(page, **dict.fromkeys(LINKS, text)))


@pytest.mark.parametrize("name", ["../x", "con", "a\u202eb", "<img src=x onerror=alert(1)>", ".hidden"])
def test_the_field_for_a_name_refuses_what_no_run_is_called(house, name):
    before = sorted(run.name for run in runs.list_runs())
    app = open_page("train", form="All settings")
    app.text_input(key="name").set_value(name)
    app.button(key="start_training").click().run()
    check(app)
    assert any("cannot be called" in error.value for error in app.error)
    app = open_page("runs")
    app.selectbox(key="managed").set_value("uploaded").run()
    app.text_input(key="rename_uploaded").set_value(name)
    app.button(key="rename").click().run()
    check(app)
    assert any("cannot be called" in error.value for error in app.error)
    assert sorted(run.name for run in runs.list_runs()) == before
