from __future__ import annotations

import pytest

from skinensemble.tables import text_table


def test_columns_are_aligned_and_the_text_is_markdown():
    text = text_table(["rule", "misses"], [["soft", 12], ["a longer name", 9]])
    assert text.splitlines() == [
        "| rule          | misses |",
        "|:--------------|-------:|",
        "| soft          |     12 |",
        "| a longer name |      9 |",
    ]


def test_a_table_without_rows_is_its_header():
    assert text_table(["a", "b"], []).splitlines() == ["| a | b |", "|:--|--:|"]


@pytest.mark.parametrize("rows", [[["only one"]], [["a", "b", "c"]]])
def test_rows_of_another_length_are_refused(rows):
    with pytest.raises(ValueError, match="argument"):
        text_table(["a", "b"], rows)


def test_non_ascii_text_keeps_its_width():
    lines = text_table(["Größe", "≥"], [["é", "0.9–1.0"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
