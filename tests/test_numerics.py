"""What other arithmetic moves: how far is too far, and what Appendix E says of it."""

import json

import pytest

from book.workflow import numerics, report
from book.workflow.stress import PUBLISHED


def row(claim="a", value=0.5, published=0.5, tolerance=0.1, reason="", environment="bf16"):
    return {
        "environment": environment, "chapter": "03-05-resnet", "claim": claim, "value": value,
        "published": published, "tolerance": tolerance, "reason": reason,
    }  # fmt: skip


def test_a_claim_is_outside_only_where_it_has_a_tolerance():
    assert numerics.moved(row(value=0.5 + 1e-14)) == 0
    assert not numerics.is_outside(row(value=0.55))
    assert numerics.is_outside(row(value=0.65))
    assert not numerics.is_outside(row(value=0.65, tolerance=None))
    assert numerics.is_unknown(row(value=0.65, tolerance=None))
    assert not numerics.is_unknown(row(tolerance=None))


def test_the_tolerance_of_arithmetic_comes_before_that_of_seeds():
    both = {"same_seeds": {"half_width": 0.01}, "new_seeds": {"half_width": 0.2}}
    assert numerics.allowed(both) == 0.01
    assert numerics.allowed(both | {"same_seeds": {"cannot_tell": "why"}}) == 0.2
    assert numerics.allowed({key: {"cannot_tell": "why"} for key in both}) is None


def test_appendix_e_names_what_moved_too_far_and_what_has_no_value(tmp_path):
    rows = [row(), row("b", 0.7), row("c", None, reason="the chapter failed")]
    document = {"machine": "a machine", "date": "2026-01-01", "rows": rows}
    (tmp_path / numerics.FILE).write_text(json.dumps(document))
    text = "\n".join(report._arithmetic(tmp_path))
    assert "| bf16 | 03-05-resnet | 2 | 1 | 1 | 0 |" in text
    assert "| bf16 | `b` | 0.700 | 0.500 | 0.100 |" in text
    assert "`c`: the chapter failed" in text
    assert "not measured yet" in "\n".join(report._arithmetic(tmp_path / "nowhere"))


def test_every_published_row_has_a_value():
    path = PUBLISHED / numerics.FILE
    if not path.exists():
        pytest.skip("not measured")
    for each in json.loads(path.read_text("utf-8"))["rows"]:
        assert each["value"] is not None, each
