"""Runs: the table, the comparison, and what can be done with a run."""

import io
import json
import re
import time

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui.wording import count
from tests.conftest import tiny_config
from tests.helpers.record_tables import cells, record_table
from tests.pages.opening import open_page
from vit import plots, runs
from vit.exports import formats, run_zip
from vit.paths import checkpoints_dir
from vit.runs.comparison import summary
from vit.runs.notes import make_notes, read_notes, write_notes
from vit.support import optional_packages


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.caption]).replace("\\", "")


def test_without_runs_the_page_links_to_train_and_accepts_a_zip(home):
    app = open_page("runs")
    assert "No runs yet" in words(app)
    assert "Train a model" in [link.label for link in app.main.get("page_link")]
    assert len(app.file_uploader) == 1
    assert not app.get("bidi_component")


def test_the_table_lists_every_run_with_its_accuracy(several):
    app = open_page("runs")
    table = cells(app)
    assert list(table) == [run.name for run in runs.list_runs()]
    for run in map(summary, runs.list_runs()):
        line = table[run.name]
        assert (line["State"], line["Accuracy"]) == ("Finished", f"{run.val_accuracy:.1%}")
        assert line["Time"].endswith(" s")
    assert "k-NN accuracy" not in line  # a column without any value


def test_the_columns_of_the_link_are_shown_and_those_without_a_value_are_left_out(several):
    app = open_page("runs")
    app.get("button_group")[0].set_value(["Parameters", "Mended departures", "Training accuracy"]).run()
    assert not app.exception
    run = summary(runs.find_run("tiny"))
    assert cells(app)["tiny"] == {
        "Parameters": count(run.parameters),
        "Training accuracy": f"{run.train_accuracy:.1%}",
    }


def curves(app: AppTest) -> dict:
    """Return what the plots of the compared runs show."""
    found = [json.loads(one.proto.mixed.json or one.proto.json) for one in app.get("bidi_component")]
    return next(one for one in found if "plots" in one)


def test_the_best_finished_runs_are_compared_by_default_in_the_colours_of_the_curves(several):
    app = open_page("runs")
    best = sorted(map(summary, runs.list_runs()), key=lambda run: -run.val_accuracy)
    assert app.multiselect(key="runs").value == [run.name for run in best]
    table = record_table(app, "All runs")
    assert table["chosen"] == [run.name for run in best]
    gap = curves(app)["plots"][-1]["lines"]
    assert {line["name"]: line["colour"] for line in gap} == dict(zip(table["chosen"], table["colours"], strict=False))
    assert "What the gap means" in words(app)
    app.multiselect(key="runs").set_value([]).run()
    assert "No run is chosen" in words(app)
    app.multiselect(key="runs").set_value(["tiny"]).run()
    assert "Choose a second run" in words(app)
    assert not app.exception


def test_the_settings_that_differ_are_listed_run_by_run(several):
    app = open_page("runs", runs="tiny")
    assert app.multiselect(key="runs").value == ["tiny"]
    app.multiselect(key="runs").set_value(["tiny", "tiny-deep"]).run()
    assert cells(app, "Settings") == {
        "Depth": {"tiny": "2", "tiny-deep": "3"},
        "Stem": {"tiny": "Small convolutions", "tiny-deep": "One linear map"},
    }


def test_runs_are_grouped_by_a_setting_in_which_they_differ(several):
    app = open_page("runs")
    assert app.selectbox(key="group").value == "Depth"
    scores = {run.name: run.val_accuracy for run in map(summary, runs.list_runs())}
    table = cells(app, "Validation accuracy by Depth")
    assert [(depth, line["Runs (n)"], line["Seeds"]) for depth, line in table.items()] == [
        ("2", "2", "1"),
        ("3", "1", "1"),
    ]
    assert table["2"]["Mean accuracy"] == f"{(scores['tiny'] + scores['tiny-mean']) / 2:.1%}"
    assert table["3"]["Mean accuracy"] == f"{scores['tiny-deep']:.1%}"
    assert table["2"]["Also different"] == "Pooling"
    assert table["3"]["Also different"] == "–"
    app.selectbox(key="group").set_value("Stem").run()
    assert list(cells(app, "Validation accuracy by Stem")) == ["One linear map", "Small convolutions"]
    assert not app.exception


def test_tags_filter_the_table_and_words_find_names_and_notes(several):
    write_notes(runs.find_run("tiny"), make_notes(["paper"], "with a *star*"))
    write_notes(runs.find_run("tiny-deep"), make_notes(["paper", "again"], ""))
    app = open_page("runs")
    (row,) = [row for row in record_table(app, "All runs")["rows"] if row["name"] == "tiny"]
    assert (row["tags"], row["note"]) == (["paper"], "with a *star*")
    pills = next(one for one in app.get("button_group") if one.label == "Tags")
    pills.set_value(["paper"]).run()
    assert list(cells(app)) == ["tiny-deep", "tiny"]
    assert "2 of 3 runs match" in words(app)
    app.text_input(key="find").set_value("STAR").run()
    assert list(cells(app)) == ["tiny"]
    app.text_input(key="find").set_value("nothing like it").run()
    assert "No run matches" in words(app)
    assert not app.exception


def test_notes_that_cannot_be_saved_are_given_back_with_the_reason(several, monkeypatch):
    from pages.runs import table

    state: dict = {}
    monkeypatch.setattr(table.st, "session_state", state)
    run = runs.find_run("tiny")
    table.save_notes(run, ["x" * 99], "kept")
    draft = state["notes_draft"]
    assert (draft["name"], draft["note"], draft["seq"]) == ("tiny", "kept", 1)
    assert "cannot be used" in draft["problem"]
    assert not read_notes(run)
    table.save_notes(run, ["short"], "kept")
    assert "notes_draft" not in state
    assert read_notes(run) == make_notes(["short"], "kept")


def test_a_link_to_a_run_that_is_gone_shows_the_others(several):
    app = open_page("runs", runs="nobody")
    assert not app.exception
    assert app.multiselect(key="runs").value == []


def test_runs_that_differ_only_in_the_seed_are_pointed_out(twenty):
    run = runs.find_run("tiny-2")
    recipe = run.config.training.model_copy(update={"seed": 5})
    runs.write_config(run.path, run.config.model_copy(update={"training": recipe}))
    app = open_page("runs")
    app.multiselect(key="runs").set_value(["tiny", "tiny-2"]).run()
    assert "Only the seed differs" in words(app)
    app.multiselect(key="runs").set_value(["tiny", "tiny-3"]).run()
    assert "same settings and seed" in words(app)


def test_twenty_runs_are_drawn_quickly_and_only_as_many_chosen_as_there_are_colours(twenty):
    app = open_page("runs")
    begun = time.monotonic()
    app.run()
    assert time.monotonic() - begun < 5
    assert app.multiselect(key="runs").proto.max_selections == plots.COMPARED_MAX
    assert len(cells(app)) == 20


def test_an_active_run_cannot_be_renamed_or_deleted(several):
    run = runs.find_run("tiny")
    runs.update_status(run.path, state="running")
    with runs.run_lock(run.path):
        app = open_page("runs")
        app.selectbox(key="managed").set_value("tiny").run()
        assert app.button(key="delete").disabled
        assert app.button(key="rename").disabled
        assert "stop it on the Train page" in words(app)
        assert cells(app)["tiny"]["State"] == "Training"


def test_waiting_runs_are_listed_with_their_place_in_the_queue(several):
    for name in ("first", "second"):
        runs.create(name, tiny_config())
    states = {name: line["State"] for name, line in cells(open_page("runs")).items()}
    assert states == {
        "first": "Waiting, number 1",
        "second": "Waiting, number 2",
        **dict.fromkeys(("tiny", "tiny-mean", "tiny-deep"), "Finished"),
    }


def test_the_disk_space_of_the_runs_is_shown_and_what_deleting_one_frees(several):
    app = open_page("runs")
    assert re.search(r"All 3 runs take \d+ MB; [\d.]+ [GM]B of disk space are free", words(app))
    app.button(key="delete").click().run()
    assert re.search(r"It frees \d+ MB", words(app))


def test_a_folder_that_cannot_be_read_can_be_deleted_after_a_question(several):
    folder = checkpoints_dir() / "tiny"
    (folder / runs.CONFIG).write_text("{")
    app = open_page("runs")
    assert "looks like a run but cannot be read" in words(app)
    app.button(key="delete_tiny").click().run()
    assert "permanently deletes" in words(app)
    app.button(key="keep").click().run()
    assert folder.exists()
    app.button(key="delete_tiny").click().run()
    app.button(key="delete_surely").click().run()
    assert not app.exception
    assert not folder.exists()
    assert len(runs.list_runs()) == 2


def test_a_run_that_has_just_begun_has_no_curves_yet(home):
    runs.update_status(runs.create("new", tiny_config()).path, state="stopped")
    app = open_page("runs")
    assert "The curves appear at the end of the first epoch" in words(app)
    assert not app.exception


def test_renaming_keeps_the_run_chosen_and_a_taken_name_gives_an_error_message(several):
    app = open_page("runs")
    app.selectbox(key="managed").set_value("tiny").run()
    app.text_input(key="rename_tiny").set_value("tiny-mean").run()
    app.button(key="rename").click().run()
    assert "such as" in app.error[0].value
    app.text_input(key="rename_tiny").set_value("small").run()
    app.button(key="rename").click().run()
    assert not app.error
    assert "small" in app.multiselect(key="runs").value
    assert {run.name for run in runs.list_runs()} == {"small", "tiny-mean", "tiny-deep"}


def test_deleting_asks_first(several):
    app = open_page("runs")
    app.selectbox(key="managed").set_value("tiny").run()
    app.button(key="delete").click().run()
    assert "permanently deletes" in words(app)
    assert (checkpoints_dir() / "tiny").exists()
    app.button(key="delete_surely").click().run()
    assert not app.exception
    assert not (checkpoints_dir() / "tiny").exists()


def test_an_uploaded_zip_becomes_a_run_that_is_chosen(several):
    file = io.BytesIO()
    run_zip.pack(runs.find_run("tiny"), file)
    app = open_page("runs")
    app.file_uploader[0].upload("tiny.zip", file.getvalue(), "application/zip").run()
    assert not app.exception
    assert runs.find_run("tiny-2").best == runs.find_run("tiny").best
    assert app.multiselect(key="runs").value[0] == "tiny-2"


def test_an_upload_that_is_no_run_gives_an_error_message(several):
    app = open_page("runs")
    app.file_uploader[0].upload("letter.zip", b"Dear sir", "application/zip").run()
    assert not app.exception
    assert "letter.zip is not a zip file" in app.error[0].value.replace("\\", "")
    assert len(runs.list_runs()) == 3


def test_a_report_is_written_on_the_first_click(trained):
    app = open_page("runs")
    app.button(key="report").click().run()
    assert not app.error
    assert "Download the report" in [button.label for button in app.get("download_button")]


@pytest.mark.parametrize(("against", "title"), [("Epochs", "Epoch"), ("Training time", "Training time (s)")])
def test_curves_hold_every_chosen_run(several, against, title):
    app = open_page("runs")
    app.get("segmented_control")[0].set_value(against).run()
    assert not app.exception
    found = curves(app)
    assert found["axis"] == title
    assert len(found["plots"]) == 3
    for plot in found["plots"]:
        assert {"tiny", "tiny-mean", "tiny-deep"} <= {line["name"] for line in plot["lines"]}
        assert all(0 < place <= found["end"] for line in plot["lines"] for place in line["xs"])


def downloads(app: AppTest) -> list[str]:
    return [button.label for button in app.get("download_button")]


def test_each_download_format_says_what_opens_it(several):
    app = open_page("runs")
    app.selectbox(key="managed").set_value("tiny-deep").run()
    assert app.selectbox(key="download_form").value == "zip"
    assert "Add it to another explorer on its Runs page" in words(app)
    assert "Download" in downloads(app)
    app.selectbox(key="download_form").set_value("tensorboard").run()
    assert "tensorboard --logdir" in words(app).replace("\u2060", "")
    assert "Download" in downloads(app)
    app.selectbox(key="download_form").set_value("hub").run()
    assert "timm cannot" not in words(app)
    assert [code.value for code in app.code] == ["python -m vit export --run tiny-deep --push USER/tiny-deep"]
    app.selectbox(key="managed").set_value("tiny").run()
    assert "timm cannot load this run" in words(app)
    assert not app.exception


def test_a_slow_file_is_made_on_a_click_and_then_offered(trained):
    app = open_page("runs")
    app.selectbox(key="download_form").set_value("hub").run()
    assert "Download" not in downloads(app)
    next(button for button in app.button if button.label == "Make the file").click().run()
    end = time.monotonic() + 60
    while not any(label.startswith("Download (") for label in downloads(app)):
        assert time.monotonic() < end
        time.sleep(0.1)
        app.run()
    assert not app.exception
    assert not app.error
    formats.find(runs.find_run("tiny"), "hub").unlink()  # newer ones push it out
    app.run()
    assert not app.exception
    assert any(button.label == "Make the file" for button in app.button)


def test_a_format_whose_package_is_missing_says_how_to_install_it(trained, monkeypatch):
    monkeypatch.setattr(optional_packages, "find_spec", lambda name: None)
    app = open_page("runs")
    for form in ("onnx", "onnx-attention", "tensorboard"):
        app.selectbox(key="download_form").set_value(form).run()
        assert "pip install" in app.error[0].value.replace("\\", "")
        assert not app.exception
