"""Files of every released format version still load, and predict what they predicted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skinensemble import load
from skinensemble.exceptions import ModelFileError
from skinensemble.persistence import save
from skinensemble.persistence._header import FORMAT_VERSION
from skinensemble.persistence.container import read_container, write_container

FILES = sorted((Path(__file__).parent / "data").glob("format-*.h5"))


def test_there_is_a_file_of_every_version():
    assert [path.stem for path in FILES] == [f"format-{v}" for v in range(1, FORMAT_VERSION + 1)]
    assert [read_container(path).version for path in FILES] == list(range(1, FORMAT_VERSION + 1))
    assert all(path.stat().st_size <= 100_000 for path in FILES)


def test_other_versions_of_scikit_learn_read_it(tmp_path):
    X, y = np.random.default_rng(0).standard_normal((60, 3)), np.arange(60) % 2
    linear = LogisticRegression(C=0.5).fit(X, y)
    save(linear, tmp_path / "model.h5")
    file = read_container(tmp_path / "model.h5")
    params = file.config["root"]["params"]
    assert params == {"C": 0.5}  # what was not chosen has no name that might go
    params |= {"fit_intercept": True, "multi_class": "deprecated", "gone": None}
    arrays = {name: file.read(name) for name in file.specs}
    write_container(tmp_path / "other.h5", file.config, arrays)
    back = load(tmp_path / "other.h5")
    np.testing.assert_array_equal(back.predict_proba(X), linear.predict_proba(X))
    params["multi_class"] = "ovr"
    write_container(tmp_path / "other.h5", file.config, arrays)
    with pytest.raises(ModelFileError, match=r"params\.multi_class – this version of sci"):
        load(tmp_path / "other.h5")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_old_files_predict_what_they_predicted(path):
    expected = json.loads(path.with_suffix(".json").read_text())
    X = np.array(expected["X"])
    cascade = load(path)
    np.testing.assert_allclose(cascade.predict_proba(X), expected["predict_proba"], atol=1e-6)
    assert cascade.predict(X).tolist() == expected["predict"]
    assert [verdict.answer for verdict in cascade.verdicts(X)] == expected["answers"]
    assert str(cascade.certificate_) == expected["certificate"]


def test_what_came_later_is_as_it_was_before():
    assert load(FILES[0]).diagnosis_.named_members_["dense"].scaling == "feature"
