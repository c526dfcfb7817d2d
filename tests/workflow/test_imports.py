"""The import graph behind the fingerprints."""

import pytest

from book.workflow import imports


@pytest.mark.parametrize(
    "code",
    [
        "import medlib.metrics",
        "from medlib import metrics",
        "from medlib.metrics import auc",
        "import medlib.metrics as m",
        "def later():\n    from medlib.metrics import auc\n",
    ],
)
def test_every_form_of_import_is_seen(code):
    assert "medlib.metrics" in imports.reached(code)


def test_a_lazy_export_counts_as_its_module():
    assert "medlib.train" in imports.reached("import medlib\nmedlib.fit(model, data, recipe)")


def test_what_is_reached_reaches_on():
    found = imports.reached("import medlib\nmedlib.begin('03-05-resnet')")
    assert {"medlib.run", "medlib.profiles", "medlib.paths", "medlib.results"} <= found


def test_an_unrelated_module_is_not_reached():
    assert imports.reached("import numpy") == set()
    assert "medlib.cli" not in imports.reached("from medlib import metrics")


def test_the_hash_ignores_comments_docstrings_and_layout_but_not_code():
    base = imports.code_hash('def f(x):\n    """Doc."""\n    return x + 1\n')
    assert imports.code_hash("def f(x):  # why\n\n    return (x + 1)\n") == base
    assert imports.code_hash("def f(x):\n    return x + 2\n") != base


def test_what_is_loaded_at_run_time_is_reached():
    found = imports.reached("from medlib.cli import main\nmain(['train', 'pictures'])")
    assert {"medlib.commands.train_own", "medlib.own.flow", "medlib.own.report"} <= found


def test_a_name_that_a_package_loads_late_counts_as_its_module():
    assert "medlib.data.status" in imports.reached("from medlib.data import data_status")
    found = imports.reached("import medlib\nmedlib.data.data_status(['x'])")
    assert "medlib.data.status" in found
    assert "medlib.data.commands" not in found  # the package offers it too, nobody names it
