"""YAML read with the fast loader: the same values, and no text that ends the process."""

import subprocess
import sys

import pytest
import yaml

from medlib import paths
from medlib.yaml_text import DEEP, FAST, parsed

READ = "import sys; from medlib.yaml_text import parsed; parsed(sys.stdin.read())"


@pytest.mark.parametrize("name", ["book/claims.yml", "data/bloodmnist.yml", "data/tasks/sets.yml"])
def test_the_values_are_those_of_the_plain_loader(name):
    text = paths.package_file(name).read_text("utf-8")
    assert parsed(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "{a: " * 100_000, "? " * 100_000])
def test_a_deep_text_ends_in_an_error_and_not_the_process(text):
    done = subprocess.run([sys.executable, "-c", READ], input=text, capture_output=True, text=True)
    assert done.returncode == 1, done.returncode  # a signal would be negative
    assert "RecursionError" in done.stderr or "ParserError" in done.stderr


def test_a_tag_makes_no_object():
    with pytest.raises(yaml.YAMLError):
        parsed("!!python/object/apply:os.getcwd []")


@pytest.mark.skipif(FAST is yaml.SafeLoader, reason="PyYAML was built without its loader in C")
def test_nested_values_that_are_not_deep_are_read_fast(monkeypatch):
    used = []
    monkeypatch.setattr(yaml, "load", lambda text, Loader: used.append(Loader))
    parsed("[" * (DEEP // 8) + "]" * (DEEP // 8))
    parsed("[" * DEEP + "]" * DEEP)
    assert used == [FAST, yaml.SafeLoader]
