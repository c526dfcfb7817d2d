"""What a page shows is the library's own source, with a short docstring and where it stands."""

import importlib
import inspect

import pytest

import medlib
from medlib import intervals
from medlib.errors import MedlibError
from medlib.plots.compare import Row
from medlib.show import Source, shorten_docstrings, show


def test_the_source_is_the_library_s():
    source = show(intervals.wilson)
    assert source.where.startswith("medlib/intervals.py, line ")
    line = int(source.where.rsplit(" ", 1)[1])
    assert line == inspect.getsourcelines(intervals.wilson)[1]
    body = inspect.getsource(intervals.wilson).rstrip().splitlines()
    assert source.code.splitlines()[0] == body[0]
    assert source.code.splitlines()[-1] == body[-1]


def test_docstrings_are_cut_to_their_first_line():
    code = show(intervals.wilson).code
    assert code.count('"""') == 2
    assert "Raises" not in code
    assert "Raises" in show(intervals.wilson, docstring="full").code
    assert '"""' not in show(intervals.wilson, docstring="none").code


def test_classes_keep_their_methods_and_fields():
    code = show(Row).code
    assert '"""One line of `dot_interval`."""' in code
    assert "value: float" in code
    compile(code, "row", "exec")


def test_nested_docstrings_are_cut_and_the_code_still_parses():
    code = 'class A:\n    """One.\n\n    Two.\n    """\n\n    def f(self):\n        """F.\n\n        G.\n        """\n        return 1\n'  # noqa: E501
    cut = shorten_docstrings(code)
    assert cut.splitlines()[1] == '    """One."""'
    assert "Two." not in cut
    assert "G." not in cut
    space: dict = {}
    exec(cut, space)
    assert space["A"]().f() == 1


def test_a_page_gets_highlighted_markdown():
    text = Source("x = 1", "medlib/a.py, line 3")._repr_markdown_()
    assert text == "*medlib/a.py, line 3*\n\n```python\nx = 1\n```"


def test_show_works_from_the_package_in_any_order():
    module = importlib.import_module("medlib.show")
    assert medlib.show(show).code == show(show).code
    assert module(show, docstring="none").code == show(show, docstring="none").code


@pytest.mark.parametrize("thing", [print, 3, len])
def test_things_without_source_are_refused(thing):
    with pytest.raises(MedlibError, match="no source to show"):
        show(thing)


def test_unknown_docstring_choices_are_refused():
    with pytest.raises(MedlibError, match="'short', 'full' or 'none'"):
        show(show, docstring="long")
