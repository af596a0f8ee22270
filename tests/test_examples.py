"""What the examples read from their command lines, without running them: CI does that."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from skinensemble import TransferClassifier

EXAMPLES = Path(__file__).parents[1] / "examples"
RECIPE = {"batch_size": 16, "learning_rate": 2.5e-4, "class_weight": 0.5}


@pytest.fixture
def read(monkeypatch):
    """Return what an example defines, and what it understands of some arguments."""

    def run(name: str, *arguments: str):
        monkeypatch.syspath_prepend(EXAMPLES)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        defined = runpy.run_path(str(EXAMPLES / name))
        return defined, defined["parse_args"]()

    return run


@pytest.mark.parametrize(
    "name", ["ablation.py", "compare_rules.py", "fine_tuning.py", "ham10000.py"]
)
def test_only_the_data_are_required(read, name):
    _, args = read(name, "--data", "somewhere")
    assert args.data == "somewhere"


@pytest.mark.parametrize("name", ["search_optuna.py", "search_scikit_learn.py"])
def test_searches_on_drawn_lesions_need_no_arguments_and_explain_themselves(read, name, capsys):
    read(name)
    with pytest.raises(SystemExit) as ended:
        read(name, "--help")
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


@pytest.mark.parametrize("asked", [{}, RECIPE, {"learning_rate": 0.01}])
def test_a_member_is_trained_by_the_recipe_but_for_what_is_asked(read, asked):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in asked.items()]
    defined, args = read("fine_tuning.py", "--data", "somewhere", *options)
    params = defined["make_member"](args, "mobilenet_v2").get_params(deep=False)
    defaults = TransferClassifier("mobilenet_v2").get_params(deep=False)
    assert {name: params[name] for name in RECIPE} == {
        name: asked.get(name, defaults[name]) for name in RECIPE
    }
