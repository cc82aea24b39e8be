"""Settings of the slides. docs/conf.py builds them with the site; alone, with

    sphinx-build -b revealjs docs/teaching/slides docs/_build/html/teaching/slides
"""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import pictures
from sphinx_revealjs._ext.notes import revealjs_notes

DECKS = sorted(HERE.glob("lecture_*.md"))
shutil.rmtree(HERE / "pictures", ignore_errors=True)
pictures.write(HERE / "pictures", DECKS)

project = "minicore"
author = "The minicore authors"
copyright = "2026, the minicore authors"
extensions = ["myst_parser", "sphinx.ext.mathjax", "sphinx_revealjs"]
root_doc = "lecture_1"
myst_enable_extensions = ["amsmath", "dollarmath", "colon_fence", "attrs_block", "attrs_inline"]
mathjax_path = "../../../_static/mathjax/tex-chtml.js"  # the copy of the site

html_title = "minicore"
html_copy_source = False
html_show_sourcelink = False
revealjs_static_path = ["_static"]
revealjs_style_theme = "white"
revealjs_css_files = ["slides.css"]
revealjs_script_plugins = [{"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"}]
revealjs_script_conf = {
    "width": 1280,
    "height": 720,
    "margin": 0,
    "center": False,
    "hash": True,
    "slideNumber": "c/t",
    "controls": False,
    "display": "flex",  # slides.css gives a picture the space that the text leaves
    "transition": "none",
}


def open_notes(translator, node):
    """Write the notes with their paragraphs. The extension itself writes one long line."""
    translator.body.append('<aside class="notes">')


def close_notes(translator, node):
    """End the notes."""
    translator.body.append("</aside>\n")


def setup(app):
    """Connect the functions."""
    app.add_node(revealjs_notes, override=True, revealjs=(open_notes, close_notes))
