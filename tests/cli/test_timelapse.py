"""``python -m vit timelapse``: films of the right length, and one line where there can be none."""

import json

import av
import numpy as np
import pytest
from PIL import Image

from tests.cli.test_main import call, picture  # noqa: F401 - fixtures
from vit import runs


def test_a_gif_has_a_frame_for_each_epoch_and_one_before_training(trained, call, picture, tmp_path):  # noqa: F811
    out = tmp_path / "film.gif"
    status, said, _ = call("timelapse --run tiny --seconds-per-frame 0.3 --json", picture, "--out", out)
    assert status == 0
    assert json.loads(said) == {"run": "tiny", "out": str(out), "method": "raw", "epochs": [0, 1, 2]}
    with Image.open(out) as image:
        assert (image.format, image.n_frames, image.info["duration"]) == ("GIF", 3, 300)


def test_an_mp4_of_one_head_or_of_a_method_has_as_many_frames(trained, call, picture, tmp_path):  # noqa: F811
    shapes = set()
    for flags in ("--layer 2 --head 1 --token 3", "--method rollout", "--method chefer --class cat"):
        out = tmp_path / "film.mp4"
        assert call(f"timelapse --run tiny {flags}", picture, "--out", out)[0] == 0
        with av.open(str(out)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(frames) == 3
        assert np.abs(frames[0].astype(int) - frames[2]).max() > 40
        shapes.add(frames[0].shape)
    assert all(side % 2 == 0 for shape in shapes for side in shape[:2])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--out film.avi", "ends in .gif or .mp4"),
        ("--out film.gif --seconds-per-frame 0", "0.1 to 10"),
        ("--out film.gif --seconds-per-frame soon", "invalid float"),
        ("--out film.gif --layer 3", "choose 1 to 2"),
        ("--out film.gif --head 9", "choose 1 to 2"),
        ("--out film.gif --token 17", "1 to 16"),
        ("--out film.gif --method magic", "choose raw, "),
        ("--out film.gif --class zebra --method chefer", "choose from airplane"),
    ],
)
def test_bad_input_is_refused_in_one_line(trained, call, picture, flags, said, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    status, out, err = call(f"timelapse --run tiny {flags}", picture)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.glob("film*"))


def test_a_run_without_snapshots_and_a_file_that_is_no_image_are_refused(trained, call, picture, tmp_path):  # noqa: F811
    letter = tmp_path / "letter.png"
    letter.write_text("Dear sir or madam")
    status, _, err = call("timelapse --run tiny", letter, "--out", tmp_path / "film.gif")
    assert (status, "not an image" in err) == (2, True)
    for file in (runs.find_run("tiny").path / runs.SNAPSHOTS).iterdir():
        file.unlink()
    status, _, err = call("timelapse --run tiny", picture, "--out", tmp_path / "film.gif")
    assert (status, "has no snapshots" in err) == (2, True)
