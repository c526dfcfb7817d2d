"""What the commands share: one line for a terminal, and one command at a time in a folder."""

import pytest

from medlib.commands.common import alone_in, one_line
from medlib.errors import MedlibError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines", "two lines"),
        ("two  \r\n\t lines \n", "two lines"),
        ("two  spaces stay", "two  spaces stay"),
        ("clear \x1b[2J\x07 the screen", "clear ?[2J? the screen"),
        ("c1 \x9b31m and turned \u202etxt.exe", "c1 ?31m and turned ?txt.exe"),
        ("one\u2028two\x85three", "one two three"),
        ("Größe 3 µm, 5 × 5", "Größe 3 µm, 5 × 5"),
    ],
)
def test_a_text_of_others_is_one_line_without_orders_to_the_terminal(text, shown):
    assert one_line(text) == shown


def test_a_second_command_in_the_same_folder_is_refused_and_harms_nothing(tmp_path):
    with alone_in(tmp_path / "out"):
        (tmp_path / "out" / "model.pt").write_text("first")
        with (
            pytest.raises(MedlibError, match=r"another command is writing to .*out: wait for it"),
            alone_in(tmp_path / "out"),
        ):
            pass
    assert (tmp_path / "out" / "model.pt").read_text() == "first"
    with alone_in(tmp_path / "out"):
        pass


def test_a_folder_that_stays_empty_is_not_left_behind(tmp_path):
    with alone_in(tmp_path / "out"):
        pass
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    with alone_in(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").exists()


def test_a_folder_that_cannot_be_made_is_left_to_the_command(tmp_path):
    (tmp_path / "file").write_text("")
    with alone_in(tmp_path / "file" / "out"):
        pass


def test_train_twice_at_once_into_one_folder(medlib, tmp_path):
    with alone_in(tmp_path / "run"):
        done = medlib("train", "breastmnist", "--phantom", "--out", tmp_path / "run")
    assert done.code == 2
    assert "another command is writing to" in done.err


def test_train_on_own_pictures_twice_at_once(medlib, tmp_path):
    (tmp_path / "pictures").mkdir()
    with alone_in(tmp_path / "run"):
        done = medlib("train", tmp_path / "pictures", "--out", tmp_path / "run")
    assert "another command is writing to" in done.err
