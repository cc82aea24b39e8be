"""The documentation's settings. Build with ``sphinx-build -W docs docs/_build/html``."""

import json
import os
import re
import shutil
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

# Undecorated kernels: nothing compiles, and Sphinx sees plain functions with their signatures.
os.environ["NUMBA_DISABLE_JIT"] = "1"

from minicore import __version__
from minicore.studies.bench import Result
from minicore.studies.reproduce import summary as tables

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent / "notebooks"


def copy_as_page(source, target):
    """Copy a file; below a notebook's title, add a link that downloads the notebook itself."""
    if Path(source).suffix == ".ipynb":
        notebook = json.loads(Path(source).read_text(encoding="utf-8"))
        title, *rest = notebook["cells"][0]["source"]
        link = f"{{download}}`Download this notebook <../../notebooks/{Path(source).name}>`\n"
        notebook["cells"][0]["source"] = [title, "\n", link, *rest]
        Path(target).write_text(json.dumps(notebook), encoding="utf-8")
        shutil.copystat(source, target)
    else:
        shutil.copy2(source, target)


# The notebooks, as pages. A copy, because Sphinx follows a symbolic link out of its folder and
# finds no page there that another page could link to. The copies keep their times: Sphinx builds
# only what has changed.
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
shutil.copytree(
    NOTEBOOKS,
    HERE / "notebooks",
    ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"),
    copy_function=copy_as_page,
)

project = "minicore"
author = "The minicore authors"
copyright = "2026, the minicore authors"
release = version = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # MathJax itself among the pages: formulas without a network
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
default_role = "literal"  # `p` in a docstring is a name

# Notebooks carry the outputs of their last run; the tests run them.
nb_execution_mode = "off"
myst_enable_extensions = ["amsmath", "dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings say shapes too
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False
napoleon_custom_sections = ["Edge cases"]

# A button on what one types: code and commands, not the outputs. Prompts are not copied.
copybutton_selector = "div:not(.output) > div.highlight > pre"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "minicore"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"  # without one every browser asks in vain, and logs an error
html_css_files = ["minicore.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}

DISPLAYED = re.compile(r"^( *)\$\$(.+?)\$\$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<![\\$`])\$([^$`]+)\$(?=(\w)?)")


def _displayed(found):
    indent, formula = found.groups()
    lines = "\n".join(f"{indent}    {line.strip()}" for line in formula.splitlines())
    return f"\n{indent}.. math::\n\n{lines}\n"


def _inline(found):
    formula, glued = found.groups()
    # A role ends at a word boundary; an escaped blank makes one that is not seen.
    return f":math:`{' '.join(formula.split())}`" + ("\\ " if glued else "")


def dollars_to_roles(app, what, name, obj, options, lines):
    """Let docstrings write $x$ and $$x$$, which are pleasant to read in the source too."""
    text = DISPLAYED.sub(_displayed, "\n".join(lines))
    lines[:] = INLINE.sub(_inline, text).splitlines()


class Measured(Directive):
    """Lay out what ``minicore bench --json`` or ``minicore reproduce`` wrote: a table, say."""

    required_arguments = 2  # the file, beside the page; what of it

    def run(self):
        """Parse the Markdown as if it stood in the page."""
        env = self.state.document.settings.env
        _, path = env.relfn2path(self.arguments[0])
        env.note_dependency(path)
        name, what = Path(path), self.arguments[1]
        if what == "reproduction":
            settings, units = tables.read(name)
            command = f"```\n{settings['command']}\n```"
            text = f"{command}\n\n{tables.text(settings, units, others=False)}"
        else:
            found = Result.load(name)
            layouts = {
                "command": lambda: f"```\n{found.settings['command']}\n```",
                "table": found.table,
                "growth": found.growth_table,
                "words": lambda: "\n".join(f"- {line}" for line in found.notes()),
            }
            text = layouts[what]()
        lines = StringList(text.splitlines(), path)
        node = nodes.container(classes=["measured"])
        self.state.nested_parse(lines, self.content_offset, node)
        return [node]


def docs_links(app, name, source):
    """Turn a notebook's links to ``../docs/page.md`` into links that hold from its copy here."""
    if name.startswith("notebooks/"):
        source[0] = source[0].replace("](../docs/", "](../")


def setup(app):
    """Before napoleon, which runs at 500: it splits the text into fields."""
    app.connect("autodoc-process-docstring", dollars_to_roles, priority=400)
    app.connect("source-read", docs_links)
    app.add_directive("measured", Measured)
