"""Tables: what is read, and what is said of everything that is no table."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinensemble.datasets._table import read_table
from skinensemble.exceptions import DatasetError


@pytest.mark.parametrize(
    "data",
    [
        b"image,dx\na,mel\nb,nv\n",
        b"\xef\xbb\xbfimage,dx\r\na,mel\r\nb,nv\r\n",
        b'"image"\t"dx"\n"a"\t"mel"\n"b"\t"nv"',
        b"Image ; DX\n a ;mel\n\n;\nb; nv\n",
        b"image,dx\ra,mel\rb,nv\r",
        b'image;"dx"\ra;"mel"\rb;nv\r',
    ],
    ids=["plain", "BOM and CRLF", "quoted tabs", "semicolons, blanks", "old Mac", "old Excel"],
)
def test_every_kind_of_table_is_read_alike(tmp_path, data):
    path = tmp_path / "table"
    path.write_bytes(data)
    table = read_table(path)
    assert table.columns == {"image": ["a", "b"], "dx": ["mel", "nv"]}
    assert not table.ragged


@pytest.mark.parametrize("data", [b'image;"age, y"\na;"1,5"\n', b'image;"age, y"\ra;1,5\r'])
def test_commas_that_separate_nothing(tmp_path, data):
    (tmp_path / "table").write_bytes(data)
    assert read_table(tmp_path / "table").columns == {"image": ["a"], "age, y": ["1,5"]}


def test_lines_are_those_of_the_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('image,dx\n\na,"mel\nanoma"\nb,nv\n')
    assert read_table(path).lines == [4, 5]


def test_rows_with_another_number_of_cells_are_reported_not_read(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("image,dx\na,mel\nb\nc,nv,x\n")
    table = read_table(path)
    assert table.columns == {"image": ["a"], "dx": ["mel"]}
    assert [(p.row, p.image, p.problem) for p in table.ragged] == [
        (3, "b", "wrong number of cells: 1 instead of 2"),
        (4, "c", "wrong number of cells: 3 instead of 2"),
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "it is empty"),
        (b" \n\n", "it is empty"),
        (b"image,dx\n", "a header but no rows"),
        (b"PK\x03\x04....", "an Excel workbook or a zip archive"),
        (b"\xd0\xcf\x11\xe0....", "Excel 97"),
        (b"\xff\xd8\xff\xe0....", "a JPEG image"),
        (b"\xff\xfei\0m\0", "UTF-16"),
        (b"<!DOCTYPE html><html>", "an HTML or XML page"),
        (b"image,dx\nISIC_1,na\xefve\n", "not UTF-8 text"),
        (b'image,dx\n"a,mel\nb,nv\n', "not a table from line"),
        (b"image,dx,DX\na,mel,nv\n", "the column 'dx' is there twice"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, data, text):
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=text) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(DatasetError, match="there is no such file – pass the path"):
        read_table(tmp_path / "missing.csv")
    with pytest.raises(DatasetError, match="it is a folder, not a file"):
        read_table(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetError, match="there is no such file"):
        read_table(tmp_path / "pipe")


def test_missing_columns_are_listed_together(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("image,diagnosis\na,mel\n")
    with pytest.raises(DatasetError, match="no column 'lesion_id', 'dx', only image, diagnosis"):
        read_table(path).require("image", "lesion_id", "dx")
    with pytest.raises(DatasetError, match="no column 'lesion_id' or 'lesion', only image"):
        read_table(path).find("lesion_id", "lesion")


@given(data=st.binary(max_size=200) | st.text('a,;\t"\n\r', max_size=60).map(str.encode))
def test_any_bytes_are_a_table_or_an_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "table.csv"
    path.write_bytes(data)
    try:
        table = read_table(path)
    except DatasetError as error:
        assert str(path) in str(error)
    else:
        assert {len(cells) for cells in table.columns.values()} == {len(table.lines)}
