"""How Sphinx makes the site from these pages and the docstrings: ``make site``."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pygments.lexers.special import TextLexer  # noqa: E402

import three_hundred_maps.hub.loading  # noqa: E402, F401 - pydantic's models do not survive autodoc's own import
from three_hundred_maps import __version__  # noqa: E402

project = "three_hundred_maps"
author = "The three_hundred_maps developers"
copyright = author
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_extra", "_templates", "recipes", "figures/*.py"]
nitpicky = True
# Every reference to a public name of this project must lead somewhere; others' manuals are not fetched.
nitpick_ignore_regex = [
    ("py:.*", r"(?!(three_hundred_maps|baselines|benchmarks)\.).*"),
    ("py:.*", r".*\._\w+"),
    ("py:class", r"baselines\.model\.Module"),  # torch's
]

napoleon_google_docstring = False
napoleon_use_rtype = False
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": False}

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "docs" / "_build" / "jupyter_cache")
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_output_stderr = "remove"  # progress bars; an error ends the build
nb_execution_timeout = 600  # of a cell, s: a machine that is busy is no error
suppress_warnings = ["myst.xref_missing_external"]

html_theme = "pydata_sphinx_theme"
html_title = project
html_extra_path = ["_extra"]
html_show_sourcelink = False
html_copy_source = False
templates_path = ["_templates"]
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}  # light or dark as the reader's system has it
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "collapse_navigation": True,
    "navbar_center": ["navbar-nav", "leaderboard"],
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}


def setup(app):
    app.add_lexer("csv", TextLexer)
