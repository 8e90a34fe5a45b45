"""What strangers call things is shown as they wrote it, does nothing else, and is never a path."""

import io
import json
import re
import shutil
import unicodedata
import zipfile
from contextlib import suppress
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import foreign_names
from vit import plots, runs
from vit.cli import main
from vit.config import DataConfig
from vit.data import describe, store_upload
from vit.errors import DataError, RunError, SettingsError
from vit.exports import run_zip
from vit.exports.report.report import report
from vit.pictures import film
from vit.pictures.token_tiles import tile_sheet
from vit.plots.base import escaped, hover_name
from vit.support import untrusted_text

DIRECTION = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with the runs of :func:`tests.helpers.foreign_names.make_runs`."""
    folder = tmp_path_factory.mktemp("names")
    with foreign_names.house(folder, "photos"):
        yield folder


# What is shown


def test_an_ordinary_name_is_shown_as_it_is():
    for name in ("golden retriever", "Łódź", "犬", "a-b_c.d", "naïve", "क्षि", "\U0001f469\u200d\U0001f467"):
        assert untrusted_text.shown(name) == name


def test_names_from_right_to_left_keep_their_place_beside_a_number():
    assert untrusted_text.shown("חתול") == "\u2068חתול\u2069"
    assert untrusted_text.bare("חתול") == "חתול", "a terminal and a picture would show the marks"


@settings(max_examples=300, deadline=None)
@given(st.text(), st.none() | st.integers(4, 60))
def test_nothing_in_a_text_acts_on_the_text_around_it(text, most):
    line = untrusted_text.shown(text, most)
    inner = line.removeprefix("\u2068").removesuffix("\u2069")
    assert not DIRECTION.search(inner)
    assert not [it for it in inner if unicodedata.category(it) in ("Cc", "Cs", "Zl", "Zp")]
    assert most is None or untrusted_text.columns(inner) <= most
    assert untrusted_text.is_unicode(line)
    assert max([0, *(len(run) for run in re.findall("[\u0300-\u036f]+", inner))]) <= untrusted_text.MARKS_MAX
    again = untrusted_text.shown(inner, most)
    assert again.removeprefix("\u2068").removesuffix("\u2069") == inner, "shown twice is shown once"


def test_a_long_name_keeps_its_beginning_and_its_end():
    line = untrusted_text.shown("first " + "w" * 300 + " last", 26)
    assert line.startswith("first w")
    assert line.endswith("w last")
    assert "…" in line


def test_a_name_of_invisible_characters_alone_is_not_shown_as_nothing():
    assert untrusted_text.shown("\u200b\u202e") == untrusted_text.UNSHOWABLE


def test_the_lines_of_a_long_name_hold_all_of_it():
    assert "".join(untrusted_text.lines_of("w" * 190, 48, 8)) == "w" * 190
    assert untrusted_text.lines_of("one two three", 8, 8) == ["one two", "three"]
    assert len(untrusted_text.lines_of("\U0001f431" * 255, 48, 3)) <= 4


def test_a_cell_of_a_table_is_no_formula_where_a_spreadsheet_opens_it():
    for name in ("=cmd|' /C calc'!A0", "+1", "-rf", "@sum(1)"):
        assert not untrusted_text.is_formula(untrusted_text.in_cell(name))
        assert untrusted_text.in_cell(name).endswith(name)
    assert untrusted_text.in_cell("a=1") == "a=1"


# Plotly


@pytest.mark.parametrize("name", foreign_names.ANY_NAMES)
def test_a_name_holds_nothing_that_plotly_reads(name):
    for text in (escaped(name), hover_name(name).replace("<br>", "")):
        assert not set("<>$%") & set(text)
        assert re.fullmatch(r"(&(amp|lt|gt|quot|#x27|#36|#37);|[^&])*", text)


@pytest.mark.parametrize("name", [name for name in foreign_names.ANY_NAMES if set("<$%") & set(name)])
def test_no_figure_holds_a_name_as_it_was_written(name):
    classes, epochs = [name, "cat", "dog"], [0, 1]
    shares, frames = np.array([0.5, 0.3, 0.2]), np.full((2, 3), 1 / 3)
    figures = [
        plots.probability_bars(classes, shares),
        plots.probability_change(classes, shares, shares),
        plots.class_lines(frames, epochs, 0, classes, 0),
        plots.lens_heatmap(frames, epochs, 0, name),
        plots.lens_curves(frames, ["a", "b"], classes, [0]),
        plots.lens_curves(frames, ["a", "b"], classes, [1]),
        plots.layer_similarity(np.eye(2), [name, "b"], [name, "b"], titles=(name, name)),
    ]
    for figure in figures:
        assert name not in json.dumps(json.loads(figure.to_json()), ensure_ascii=False)


def test_pictures_take_names_of_several_lines_and_of_any_length():
    tile = tile_sheet(
        [plots.head_sheet([["a"]], np.zeros((1, 1)))], ["a"], legend=[("#000000", it) for it in foreign_names.ANY_NAMES]
    )
    assert tile.width < 300
    for name in foreign_names.ANY_NAMES:
        frames = film.map_pictures(
            np.zeros((8, 8, 3), np.uint8), np.ones((1, 2, 2)), [f"epoch 1 · {name}"], signed=False
        )
        assert frames[0].width < 2000


# The report


class _Elements(HTMLParser):
    """What a page consists of, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.texts = set(), set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        assert tag != "img" or dict(attrs)["src"].startswith("data:image/")

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("run", ["named", "uploaded"])
def test_the_report_shows_names_and_runs_nothing(house, run):
    page = _Elements(report(runs.get_run(run)))
    assert not page.tags & {"script", "a", "iframe", "b2"}
    assert not [name for name in page.attributes if name.startswith("on") or name == "href"]
    texts = "\n".join(page.texts)
    assert not re.search("[\u202a-\u202e\u2066\u2067\x1b\x07]", texts.partition("python -m vit train")[0])
    expected = (
        untrusted_text.shown(foreign_names.FOLDER_NAMES[0])
        if run == "named"
        else untrusted_text.shown(foreign_names.MESSAGE)
    )
    assert expected in texts


# The terminal


COMMANDS = [
    ["evaluate", "--run", "named"],
    ["evaluate", "--run", "uploaded"],
    ["runs"],
    ["data", "--dataset", "PHOTOS"],
    ["predict", "--run", "uploaded", "PICTURE"],
    ["predict", "--run", "named", "PICTURE", "--no-\x1b[2Jsuch"],
    ["stop", "--run", "\x1b]0;title\x07"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda it: " ".join(it[:3]).encode("unicode_escape").decode())
def test_no_name_is_a_command_to_the_terminal(house, command, capsys, tmp_path):
    picture = tmp_path / "a\x1b[31m\nb.png"
    plots.head_sheet([["a"]], np.zeros((1, 1))).convert("RGB").save(picture)
    swaps = {"PHOTOS": str(house / "data" / "photos"), "PICTURE": str(picture)}
    with suppress(SystemExit):
        main.main([swaps.get(word, word) for word in command])
    said = "".join(capsys.readouterr())
    assert said
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", said)


def test_json_on_the_terminal_keeps_names_as_they_are(house, capsys):
    assert main.main(["evaluate", "--run", "named", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)["class_names"] == sorted(foreign_names.FOLDER_NAMES)


# Run names through every door


@pytest.mark.parametrize("name", foreign_names.RUN_NAMES)
def test_no_door_lets_a_run_have_a_name_that_is_none(home, house, name, capsys):
    shutil.copytree(house / "checkpoints" / "named", home / "checkpoints" / "mine")
    run = runs.get_run("mine")
    for door in (
        runs.check_name,
        runs.find_run,
        lambda it: runs.rename(run, it),
        lambda it: runs.create(it, run.config),
    ):
        with pytest.raises(RunError) as error:
            door(name)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400
    with pytest.raises(RunError):
        run_zip.unpack(_zip("mine/config.json"), name)
    assert main.main(["train", "--dataset", "scenes", "--epochs", "1", f"--run={name}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert [it.name for it in (home / "checkpoints").iterdir()] == ["mine"]
    assert not foreign_names.written_outside(home)


def _zip(member: str, run: runs.Run | None = None) -> io.BytesIO:
    """A zip of a run, or of nothing much, whose files lie in the folder of ``member``."""
    file = io.BytesIO()
    if run is None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(member, "{}")
    else:
        packed = io.BytesIO()
        run_zip.pack(run, packed)
        with zipfile.ZipFile(packed) as source, zipfile.ZipFile(file, "w") as archive:
            for info in source.infolist():
                archive.writestr(member + info.filename.partition("/")[2], source.read(info))
    file.seek(0)
    return file


@pytest.mark.parametrize("name", [name for name in foreign_names.RUN_NAMES if name and "\0" not in name])
def test_a_zip_from_a_stranger_becomes_a_run_with_a_name_of_ours_or_none(home, house, name):
    file = _zip(f"{name}/", runs.Run(house / "checkpoints" / "named"))
    file.name = f"{name}.zip"
    found = []
    with suppress(RunError):
        found = [run_zip.unpack(file).name]
    assert all(map(runs.is_valid_name, found))
    assert [it.name for it in (home / "checkpoints").iterdir()] == found
    assert not foreign_names.written_outside(home)


@pytest.mark.parametrize(
    "name", [name for name in foreign_names.RUN_NAMES if "/" not in name and "\0" not in name and len(name) < 256]
)
def test_a_folder_with_such_a_name_is_not_listed_as_a_run(home, house, name):
    if name in ("", ".", ".."):
        return
    shutil.copytree(house / "checkpoints" / "named", home / "checkpoints" / name)
    assert runs.list_runs() == []
    assert [it[0] for it in runs.broken_runs()] == ([] if name.startswith(".") else [name])


# Class names


def test_a_zip_whose_folders_have_such_names_is_unpacked_where_it_belongs_and_tells_its_classes(home):
    file = io.BytesIO()
    picture = io.BytesIO()
    plots.head_sheet([["a"]], np.zeros((1, 1))).convert("RGB").save(picture, "PNG")
    with zipfile.ZipFile(file, "w") as archive:
        for name in foreign_names.FOLDER_NAMES:
            for index in range(3):
                archive.writestr(f"{name}/{index}.png".replace("\\", "_").replace("x_.._y", "x_y"), picture.getvalue())
    file.seek(0)
    source = store_upload("<img src=x onerror=alert(1)>.zip", file)
    found = describe(source).class_names
    assert len(found) == len(foreign_names.FOLDER_NAMES)
    assert {"[a](javascript_window.__pwned=4)", "%2e%2e%2fx", "\u05d7\u05ea\u05d5\u05dc", "\u718a" * 66} <= set(found)
    assert not foreign_names.written_outside(home)
    assert [it.parent for it in (home / "data").rglob("*.png")] == [
        it.parent for it in (home / "data" / "uploads").rglob("*.png")
    ]


@pytest.mark.parametrize("name", ["../x", "/etc/x", "C:\\x", "..\\x"])
def test_a_zip_whose_folders_climb_is_refused(home, name):
    with pytest.raises(DataError, match="outside"):
        store_upload("photos.zip", _zip(f"{name}/1.png"))
    assert not list(home.rglob("*.png"))


def test_a_name_that_is_no_text_is_refused_before_it_spoils_a_page(tmp_path):
    for name in (b"caf\xe9", b"dog"):
        folder = tmp_path.joinpath(name.decode("utf-8", "surrogateescape"))
        folder.mkdir()
        plots.head_sheet([["a"]], np.zeros((1, 1))).convert("RGB").save(folder / "1.png")
    with pytest.raises(DataError, match="UTF-8"):
        describe(str(tmp_path))
    for field in ({"source": "/caf\udce9"}, {"class_names": ("caf\udce9", "dog")}):
        with pytest.raises(SettingsError, match="UTF-8"):
            DataConfig(**field)


def test_two_classes_of_one_name_are_refused():
    with pytest.raises(SettingsError, match="twice"):
        DataConfig(class_names=("cat", "cat"))
    with pytest.raises(SettingsError):
        DataConfig.from_json('{"class_names": ["cat", "cat"]}')
