"""A command in a process of its own."""

from medlib.commands.apart import run_apart


def test_a_command_apart_says_what_it_says_and_takes_time(tmp_path):
    done = run_apart("train", "nowhere/", "--out", "x", folder=tmp_path)
    assert done.code == 2
    assert "there is nothing at nowhere" in done.said
    assert 0 < done.seconds < 60
    assert list(tmp_path.iterdir()) == []
