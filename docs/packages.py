"""Print the packages that minicore installs, with their sizes, as the tables of packages.md.

    pip install ".[cluster,convert,dev,docs,export,notebooks,play,test,train]"
    python docs/packages.py

Leave out the extras that you do not want to measure. A size is that of the installed files, with
the bytecode that pip compiles. MB are 10⁶ bytes.
"""

import platform
import sys
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from minicore.runtime.distribution import NAME

PURPOSES = {
    "build": "builds the package",
    "distributed": "fits and scores over several machines",
    "furo": "the design of the site",
    "hypothesis": "draws random cases for tests",
    "ipykernel": "runs the cells of a notebook",
    "ipywidgets": "sliders in the notebooks",
    "jinja2": "the HTML report; escapes every name that comes from a file",
    "joblib": "fits of a reproduction in several processes; scikit-learn needs it too",
    "jupyterlab": "opens the notebooks",
    "matplotlib": "all pictures and heat maps",
    "mypy": "checks types",
    "myst-nb": "reads Markdown and notebooks",
    "nbconvert": "runs notebooks without a browser",
    "numba": "compiles the loops of the equations and of the fast engine",
    "numpy": "arrays",
    "onnx": "writes ONNX files",
    "onnxruntime": "runs the network",
    "pillow": "reads and writes images",
    "platformdirs": "finds the folder for compiled kernels and downloaded networks",
    "playwright": "drives the playground in a browser, for tests",
    "pooch": "downloads checkpoints and verifies them",
    "pre-commit": "runs the checks before a commit",
    "pytest": "runs the tests",
    "pytest-cov": "measures which lines the tests execute",
    "pytest-xdist": "runs tests in several processes",
    "pyyaml": "reads settings, for tests",
    "requests": "downloads, for pooch",
    "ruff": "checks and formats code",
    "safetensors": "the file format of models",
    "scikit-learn": "the estimator's base class, k-means, and the methods for comparison",
    "scipy": "smooths the map; metrics; the BLAS that compiled loops call",
    "sphinx": "builds the site",
    "sphinx-copybutton": "copy buttons",
    "sphinx-mathjax-offline": "formulas without a network",
    "sphinx-revealjs": "the slides",
    "starlette": "routes of the local server",
    "threadpoolctl": "limits the threads of matrix products; scikit-learn needs it too",
    "torch": "trains the default network again",
    "tqdm": "progress bars",
    "twine": "checks the built package",
    "typer": "the command line",
    "uvicorn": "the local server",
}


def direct(extra: str = "") -> list[Requirement]:
    """List what minicore itself needs, by default or for one extra."""
    found = [Requirement(line) for line in metadata.requires(NAME) or ()]
    return [r for r in found if _holds(r, extra) and (not extra or not _holds(r, ""))]


def closure(requirements: list[Requirement]) -> dict[str, float]:
    """Return the size of each package that is installed for requirements, in MB, by name."""
    sizes: dict[str, float] = {}
    waiting, seen = [(r.name, extra) for r in requirements for extra in ("", *r.extras)], set()
    while waiting:
        name, extra = waiting.pop()
        name = canonicalize_name(name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        sizes[name] = size(name)
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            if _holds(needed, extra):
                waiting += [(needed.name, other) for other in ("", *needed.extras)]
    return sizes


def size(name: str) -> float:
    """Return the size of the files of an installed package, in MB."""
    paths = [file.locate() for file in metadata.files(name) or ()]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def table(requirements: list[Requirement], present: dict[str, float], smallest: float) -> str:
    """Return a table of the direct packages, and a line for the others; small ones are summed."""
    sizes = closure(requirements)
    names = sorted({canonicalize_name(r.name) for r in requirements}, key=lambda n: -sizes[n])
    rows = [f"| {name} | {_mb(sizes[name])} | {PURPOSES[name]} |" for name in names]
    new = {name: sizes[name] for name in sizes.keys() - present.keys()}
    others = sorted(new.keys() - set(names), key=lambda name: -new[name])
    lines = ["| package | MB | purpose |", "|---|--:|---|", *rows, ""]
    large = [name for name in others if new[name] >= smallest]
    words = [f"{name} {_mb(new[name])}" for name in large]
    if len(large) < len(others):
        rest = sum(new[name] for name in others) - sum(new[name] for name in large)
        words.append(f"{len(others) - len(large)} smaller ones {rest:.1f}")
    if words:
        lines += [f"These need, in MB: {', '.join(words)}.", ""]
    return "\n".join([*lines, f"Together {sum(new.values()):.0f} MB in {len(new)} packages."])


def _mb(number: float) -> str:
    return f"{number:.1f}" if number >= 0.05 else "< 0.1"


def _holds(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


if __name__ == "__main__":
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    print(f"\n## The default install\n\n{table(direct(), {}, 0)}")
    print(f"\n{NAME} itself: {size(NAME):.1f} MB.")
    default = closure(direct())
    for extra in sorted(metadata.metadata(NAME).get_all("Provides-Extra") or ()):
        try:
            print(f"\n### `{extra}`\n\n{table(direct(extra), default, 1)}")
        except metadata.PackageNotFoundError as error:
            print(f"\n{extra}: {error.name} is not installed", file=sys.stderr)
