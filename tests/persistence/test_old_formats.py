"""Files of every released format version still load, and predict what they predicted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from skinensemble import load
from skinensemble.persistence._header import FORMAT_VERSION
from skinensemble.persistence.container import read_container

FILES = sorted((Path(__file__).parent / "data").glob("format-*.h5"))


def test_there_is_a_file_of_every_version():
    assert [path.stem for path in FILES] == [f"format-{v}" for v in range(1, FORMAT_VERSION + 1)]
    assert [read_container(path).version for path in FILES] == list(range(1, FORMAT_VERSION + 1))
    assert all(path.stat().st_size <= 100_000 for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_old_files_predict_what_they_predicted(path):
    expected = json.loads(path.with_suffix(".json").read_text())
    X = np.array(expected["X"])
    cascade = load(path)
    np.testing.assert_allclose(cascade.predict_proba(X), expected["predict_proba"], atol=1e-6)
    assert cascade.predict(X).tolist() == expected["predict"]
    assert [verdict.answer for verdict in cascade.verdicts(X)] == expected["answers"]
    assert str(cascade.certificate_) == expected["certificate"]
