"""Settings of the documentation. Build it with ``sphinx-build -W docs docs/_build/html``."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.errors import ExtensionError

# Without compilation, Sphinx sees plain functions with their signatures.
os.environ["NUMBA_DISABLE_JIT"] = "1"

from minicore import __version__
from minicore.studies.bench import Result
from minicore.studies.reproduce import summary as tables

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent / "notebooks"
PYPROJECT = (HERE.parent / "pyproject.toml").read_text(encoding="utf-8")
REPOSITORY = re.search(r'^Repository = "(.+)"$', PYPROJECT, re.MULTILINE).group(1)
OWNER_AND_NAME = REPOSITORY.removeprefix("https://github.com/")
BINDER = f"https://mybinder.org/v2/gh/{OWNER_AND_NAME}/HEAD?urlpath=lab/tree/notebooks"
COLAB = f"https://colab.research.google.com/github/{OWNER_AND_NAME}/blob/main/notebooks"

SOLUTIONS = re.compile(r"\[[^\]]*\]\((solutions/[^)#]*)[^)]*\)")  # a link to them


def copy_as_page(source, target):
    """Copy a file. Below the title of a notebook, add links that download it or run it online.

    The solutions are not part of the site: links to them become names of files.
    """
    if Path(source).suffix == ".ipynb":
        notebook = json.loads(Path(source).read_text(encoding="utf-8"))
        title, *rest = notebook["cells"][0]["source"]
        name = Path(source).name
        links = (
            f"{{download}}`Download this notebook <../../notebooks/{name}>` "
            f"· run it online in [Binder]({BINDER}/{name}) or in [Colab]({COLAB}/{name}) "
            "(in Colab, first run `!pip install minicore-patchcore`)\n"
        )
        notebook["cells"][0]["source"] = [title, "\n", links, *rest]
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                text = "".join(cell["source"])
                cell["source"] = [SOLUTIONS.sub(r"`notebooks/\1` of the repository", text)]
        Path(target).write_text(json.dumps(notebook), encoding="utf-8")
        shutil.copystat(source, target)
    else:
        shutil.copy2(source, target)


# Copy the notebooks into this folder: Sphinx cannot link to pages outside it, or behind a symbolic
# link. The copies keep their times, so that Sphinx builds only changed pages.
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
shutil.copytree(
    NOTEBOOKS,
    HERE / "notebooks",
    ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__", "solutions"),
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
    "sphinx-mathjax-offline",  # MathJax is part of the site: formulas work offline
    "sphinx_copybutton",
]
exclude_patterns = [
    "_build",
    "**/.ipynb_checkpoints",
    "teaching/slides",
]  # the slides' own settings
default_role = "literal"  # `p` in a docstring is a name

# Notebooks carry the outputs of their last run; the tests run them.
nb_execution_mode = "off"
myst_enable_extensions = ["amsmath", "dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # docstrings have the types, with shapes
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False
napoleon_custom_sections = ["Edge cases"]

# Copy buttons for code and commands, not for outputs. Prompts are not copied.
copybutton_selector = "div:not(.output) > div.highlight > pre"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "minicore"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"  # without it, browsers log an error
html_css_files = ["minicore.css"]
html_copy_source = False
html_show_sourcelink = False
html_baseurl = os.environ.get("READTHEDOCS_CANONICAL_URL", "")
html_theme_options = {
    # Every page links to its source. The footer links to the repository.
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "source_directory": "docs",
    "footer_icons": [{"name": "Repository", "url": REPOSITORY, "html": "Repository", "class": ""}],
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
    # A role must end at a word boundary. An escaped blank is an invisible one.
    return f":math:`{' '.join(formula.split())}`" + ("\\ " if glued else "")


def dollars_to_roles(app, what, name, obj, options, lines):
    """Convert $x$ and $$x$$ in docstrings to math roles."""
    text = DISPLAYED.sub(_displayed, "\n".join(lines))
    lines[:] = INLINE.sub(_inline, text).splitlines()


class Measured(Directive):
    """Show a part of a file from ``minicore bench --json`` or ``minicore reproduce``."""

    required_arguments = 2  # the file, relative to the page; the part, such as "table"

    def run(self):
        """Convert the part to Markdown and parse it."""
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
    """Change links to ``../docs/page.md`` in a notebook, so that they work from its copy."""
    if name.startswith("notebooks/"):
        source[0] = source[0].replace("](../docs/", "](../")


def source_links(app, name, template, context, doctree):
    """Link the page of a notebook to the notebook, not to its copy in this folder."""
    if name.startswith("notebooks/"):
        context["theme_source_directory"] = ""
        context["theme_source_view_link"] = f"{REPOSITORY}/blob/main/{{filename}}"


def build_slides(app, exception):
    """Build the slides into the site. They have another builder and their own settings."""
    if exception is None and app.builder.name == "html":
        slides = Path("teaching", "slides")
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "revealjs"]
        doctrees = ["-d", Path(app.doctreedir) / slides]
        done = subprocess.run([*command, *doctrees, HERE / slides, Path(app.outdir) / slides])
        if done.returncode:
            raise ExtensionError(f"docs/teaching/slides: sphinx-build ends with {done.returncode}")


def setup(app):
    """Connect the functions. Math comes before napoleon (500), which splits the text."""
    app.connect("autodoc-process-docstring", dollars_to_roles, priority=400)
    app.connect("source-read", docs_links)
    app.connect("html-page-context", source_links)
    app.connect("build-finished", build_slides)
    app.add_directive("measured", Measured)
