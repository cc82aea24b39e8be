"""Settings of the slides.

docs/conf.py builds them with the site. To build them alone, after the site:
``sphinx-build -b revealjs docs/teaching/slides docs/_build/html/teaching/slides``.
"""

import shutil
import sys
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parent))
import pictures

HERE = Path(__file__).parent
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
    "pdfSeparateFragments": False,  # on paper, each slide once, with all its text
}


class Notes(SphinxDirective):
    """Speaker notes. Those of sphinx-revealjs lose their paragraphs."""

    has_content = True

    def run(self):
        """Parse the notes. reveal.js shows this element in the speaker's window only."""
        inside = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, inside)
        begin = nodes.raw("", '<aside class="notes">', format="html")
        return [begin, *inside.children, nodes.raw("", "</aside>", format="html")]


def setup(app):
    """Connect the directive."""
    app.add_directive("notes", Notes)
