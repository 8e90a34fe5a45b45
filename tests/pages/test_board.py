"""The Board page: a teacher and students in sessions of their own, also on a demo, where strangers see nothing."""

import pytest
from streamlit.testing.v1 import AppTest

from pages import access
from pages.access import boards as access_boards
from pages.access import cleanup, identity
from pages.access import runs as access_runs
from pages.server import limits
from tests.pages.opening import open_page
from vit import runs
from vit.jobs import control
from vit.lessons import EXPERIMENTS, boards
from vit.lessons.texts import text


@pytest.fixture(autouse=True)
def _forget_wrong_codes(monkeypatch):
    monkeypatch.setattr(access_boards, "_tries", boards.TryLimit())


@pytest.fixture
def launched(monkeypatch) -> list[str]:
    names = []
    monkeypatch.setattr(control, "_launch", lambda run, command: names.append(run.name))
    return names


@pytest.fixture
def demo(home, monkeypatch):
    """A demo; the function makes the next request that of a visitor."""
    monkeypatch.setenv(limits.SWITCH, "1")
    monkeypatch.setattr(access_runs, "_clean_up", lambda hours: None)
    cleanup.measure_anew()

    def as_(cookie: str) -> None:
        monkeypatch.setattr(identity, "visitor_mark", lambda cookies: cookie)

    return as_


def words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "error", "success", "warning", "info")
    texts = [element.value for kind in kinds for element in app.get(kind)]
    return "\n".join(texts + [bar.proto.text for bar in app.get("progress")])


def opened(lesson: str = "heads") -> tuple[AppTest, str]:
    """A teacher's session, and the code of the board."""
    app = open_page("lessons/board")
    app.selectbox(key="board_lesson").set_value(lesson)
    app.button(key="open_board").click().run()
    assert not app.exception
    return app, next(boards._boards()).code


def joined(code: str) -> AppTest:
    app = open_page("lessons/board")
    app.text_input(key="join_code").set_value(code)
    next(button for button in app.button if button.label == "Join").click().run()
    assert not app.exception
    return app


def test_guesses_and_runs_of_students_appear_on_the_teachers_board(home, launched):
    teacher, code = opened()
    assert boards.spaced(code) in words(teacher)
    students = [joined(boards.spaced(code).lower()) for _ in range(2)]
    assert "Your seat: 2" in words(students[1])
    assert "Guess on the lesson's page" in words(students[1])
    for student, option in zip(students, (0, 1), strict=True):
        student.switch_page("lessons/lesson_heads.py").run()
        student.radio[0].set_value(student.radio[0].options[option]).run()
        assert not student.exception
    students[1].button(key="queue_heads").click().run()
    assert not students[1].exception
    mine = [run for run in runs.list_runs() if run.name in launched]
    assert {run.config.training.seed for run in mine} == {2}  # the number of the seat
    assert "You have trained" not in words(students[0].run())  # the runs of another seat are not this student's
    for run in mine:
        runs.update_status(run.path, state="finished", best={"val_accuracy": 0.5, "epoch": 3}, validated=True)
    teacher.run()
    assert not teacher.exception
    said = words(teacher)
    assert "2 of 30 seats taken, 2 guessed, 4 runs" in said
    assert f"{text('heads').options[0]}: 1 of 2" in said
    assert len(teacher.get("vega_lite_chart")) == 1
    students[1].switch_page("lessons/board.py").run()
    assert f"{text('heads').options[1]}: 1 of 2" in words(students[1])


def test_a_reload_finds_the_boards_of_teacher_and_student(home):
    teacher, code = opened()
    student = joined(code)
    address = {name: student.query_params[name] for name in ("board", "me")}
    assert "Your seat: 1" in words(open_page("lessons/board", **address))
    assert "Close it" in [button.label for button in open_page("lessons/board", me=teacher.query_params["me"]).button]
    assert "seats taken" not in words(open_page("lessons/board", board=code))  # the code alone is no seat
    assert "seats taken" not in words(open_page("lessons/board", board=code, me="<script>"))


def test_a_board_that_the_teacher_closes_is_gone_for_the_students(home):
    teacher, code = opened()
    student = joined(code)
    teacher.button(key=f"close_{code}").click().run()
    assert not teacher.exception
    student.run()
    assert not student.exception
    assert boards.spaced(code) not in words(student)
    assert student.text_input(key="join_code")


def test_a_wrong_code_is_refused_with_a_sentence_and_too_many_are_not_tried(home, monkeypatch):
    opened()
    monkeypatch.setattr(access_boards, "_tries", boards.TryLimit(each=2))
    app = open_page("lessons/board")
    said = []
    for code in ("<b>", "AAAAAA", "AAAAAB"):
        app.text_input(key="join_code").set_value(code)
        next(button for button in app.button if button.label == "Join").click().run()
        said.append(app.error[0].value)
    assert "not a code" in said[0]
    assert "no open board" in said[1]
    assert "Too many wrong codes" in said[2]


def test_on_a_demo_a_stranger_sees_no_board_and_a_teacher_two_at_most(demo, launched):
    demo("A" * 32)
    _, code = opened()
    for _ in range(2):
        app = open_page("lessons/board")
        app.button(key="open_board").click().run()
    assert "2 open boards" in app.error[0].value
    demo("B" * 32)
    stranger = open_page("lessons/board", board=code)
    assert "seats taken" not in words(stranger)
    joined(code)
    assert "Seat 1" in words(open_page("lessons/lesson_heads", board=code))
    reloaded = open_page("lessons/board", board=code)  # the cookie keeps the seat
    assert "Your seat: 1" in words(reloaded)
    assert not [button for button in reloaded.button if button.label == "Close it"]


def test_on_a_demo_a_board_gets_only_runs_of_its_students(demo, launched):
    demo("A" * 32)
    _, code = opened()
    demo("B" * 32)
    student = joined(code)
    student.switch_page("lessons/lesson_heads.py").run()
    student.button(key="queue_heads").click().run()
    assert not student.exception
    assert len(launched) == len(EXPERIMENTS["heads-short"])
    board = boards.read_board(code)
    assert len(access.board_results(board)) == 4
    news = access.board_news(code)
    assert access.board_news(code) == news
    demo("A" * 32)
    assert access.my_runs() == []
    theirs = runs.list_runs()[0]
    runs.write_config(theirs.path, theirs.config.model_copy(update={"owner": "c" * 32}))
    assert len(access.board_results(board)) == 3
    assert access.board_news(code) != news
