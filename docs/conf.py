"""How the documentation is built: ``sphinx-build -W -n docs docs/_build/html``, without network."""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from skinensemble import __version__  # noqa: E402
from skinensemble.backbones import get_backbone, list_backbones  # noqa: E402
from skinensemble.cli import _parser  # noqa: E402

project = "skinensemble"
author = "The skinensemble developers"
copyright = "The skinensemble developers, Apache License 2.0"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "numpydoc",
]
extlinks = {"doi": ("https://doi.org/%s", "doi:%s")}
templates_path = ["_templates"]
exclude_patterns = ["_build", "generated/*.inc"]
default_role = "emphasis"  # numpydoc writes parameters in single backticks
nitpicky = True
# Other projects' names: their documentation is not at hand when this one is built.
nitpick_ignore_regex = [("py:.*", r"(sklearn|keras|numpy|pandas|PIL)\..*")]

autosummary_generate = True
autodoc_typehints = "none"  # types are in the numpydoc sections
# scikit-learn adds these to every estimator; they only matter to metadata routing.
autodoc_default_options = {
    "exclude-members": "get_metadata_routing, set_output, set_fit_request, set_score_request, "
    "set_predict_request, set_predict_proba_request, set_transform_request"
}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "furo"
html_title = f"skinensemble {release}"
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_copy_source = html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#6d4a86",
        "color-brand-content": "#1f746c",
        "color-api-name": "#6d4a86",
        "color-api-pre-name": "#7a8491",
    },
    "dark_css_variables": {
        "color-brand-primary": "#c3a5da",
        "color-brand-content": "#5fc0b5",
        "color-api-name": "#c3a5da",
        "color-api-pre-name": "#8b95a1",
    },
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"


def write_backbones(app) -> None:
    """Write the registry as a table and as references, for pages to include."""
    folder = Path(app.srcdir, "generated")
    folder.mkdir(exist_ok=True)
    backbones = [get_backbone(name) for name in list_backbones()]
    rows = [
        f"   * - ``{one.name}``\n     - {one.family}\n     - {one.input_size}\n"
        f"     - {one.min_size}\n     - {one.licence}\n"
        for one in backbones
    ]
    head = (
        "   * - name\n     - family\n     - size\n     - at least\n     - licence of the weights\n"
    )
    table = ".. list-table::\n   :header-rows: 1\n   :class: backbones\n\n" + head + "".join(rows)
    papers = sorted({f"- **{one.family}.** {one.citation}\n" for one in backbones})
    (folder / "backbones.inc").write_text(table, encoding="utf-8")
    (folder / "papers.inc").write_text("".join(papers), encoding="utf-8")


def write_commands(app) -> None:
    """Write what each command says with ``--help``, for the page of the command line."""
    os.environ["COLUMNS"] = "88"  # argparse wraps its lines at it
    actions = _parser()._actions
    commands = next(one for one in actions if isinstance(one, argparse._SubParsersAction)).choices
    text = ""
    for name, parser in commands.items():
        usage = parser.format_help().replace("\n", "\n   ")
        text += f"{name}\n{'-' * len(name)}\n\n.. code-block:: text\n\n   {usage}\n\n"
    Path(app.srcdir, "generated", "commands.inc").write_text(text, encoding="utf-8")


def write_benchmarks(app) -> None:
    """Write the latest figures of each benchmark as a table, under what its module says it does."""
    figures = json.loads(Path(app.srcdir, "benchmarks.json").read_text(encoding="utf-8"))
    text = ""
    for name, found in figures.items():
        module = HERE.parent / "tests" / "benchmarks" / f"{name}.py"
        about = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
        rows = [found["header"], *found["rows"]]
        cells = "".join("   * - " + "\n     - ".join(row) + "\n" for row in rows)
        table = f".. list-table::\n   :header-rows: 1\n\n{cells}"
        text += f"{name}\n{'-' * len(name)}\n\n{about}\n\n{found['conditions']}:\n\n{table}\n"
    Path(app.srcdir, "generated", "benchmarks.inc").write_text(text, encoding="utf-8")


def find_public_name(app, env, node, contnode):
    """Resolve a reference by the end of its name: classes are documented where users find them."""
    if node.get("refdomain") != "py" or node["reftarget"].startswith(("sklearn.", "keras.")):
        return None
    node["refspecific"] = True
    target = node["reftarget"].removeprefix("skinensemble.")
    domain = env.get_domain("py")
    for name in (target, target.rsplit(".", 1)[-1]):
        found = domain.resolve_xref(
            env, node["refdoc"], app.builder, node["reftype"], name, node, contnode
        )
        if found is not None:
            return found
    return None


def setup(app):
    """Connect the functions above."""
    app.connect("builder-inited", write_backbones)
    app.connect("builder-inited", write_commands)
    app.connect("builder-inited", write_benchmarks)
    app.connect("missing-reference", find_public_name)
