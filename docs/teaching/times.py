"""How long the notebooks and the lectures take: ``python docs/teaching/times.py``.

It prints the tables of docs/teaching/index.md. Text is counted at 130 words a minute: slow reading
in a foreign language, and the speed of a lecture. With ``--run`` it also executes each notebook and
measures the seconds (``pip install -e ".[notebooks]"``, about five minutes).
"""

import os
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "slides"))
from pictures import NOTEBOOKS, sections

HERE = Path(__file__).parent
WORDS_PER_MINUTE = 130
MINUTES = 90  # of a lecture

# Sections that a student may skip at first. "all": the whole notebook.
OPTIONAL = {
    "00": (),
    "01": ("The receptive field", "Test of the receptive field", "The effective receptive field"),
    "02": ("Adaptive average pooling", "Why the centre has twice the weight"),
    "03": "all",
    "04": ("Equal and nearly equal rows",),
    "05": ("The effect of ψ",),
    "06": ("Ties", "Euclidean or squared?"),
    "07": ("When equation 7 changes the ranking", "How many neighbours"),
    "08": ("p-values", "What is promised"),
    "09": "all",
    "10": "all",
    "11": ("The same from a shell", "Sliders"),
    "12": "all",
}


def words(text: str) -> int:
    """Count the words that are read: no formulas, code, pictures or addresses of links."""
    text = re.sub(r"```.*?```|\$\$.*?\$\$|\\begin\{.*?\\end\{\w+\*?\}", " ", text, flags=re.DOTALL)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)|\]\([^)]*\)|\$[^$]*\$|`[^`]*`|<[^>]+>", " ", text)
    return len(re.findall(r"\w+(?:['’.,-]\w+)*", text))


def notebook(path: Path) -> dict[str, int]:
    """Count the words of a notebook, those of its core sections, and its lines of code."""
    found = {"words": 0, "core": 0, "lines": 0}
    optional = OPTIONAL[path.name[:2]]
    for title, cells in sections(path):
        count = len(re.findall(r"\w+", title))
        for cell in cells:
            text = "".join(cell["source"])
            if cell["cell_type"] == "code":
                found["lines"] += sum(bool(line.strip()) for line in text.splitlines())
            else:
                count += words(text)
        found["words"] += count
        found["core"] += 0 if optional == "all" or title in optional else count
    return found


def seconds(path: Path) -> float:
    """Execute a notebook and return the processor time of all threads (on Windows: the time).

    Processor time depends little on other programs. With two free cores, the run takes between
    half of this time and this time.
    """
    import nbformat
    from nbconvert.preprocessors import ExecutePreprocessor

    cells = nbformat.read(path, as_version=4)
    before, children = time.perf_counter(), os.times()[2:4]
    where = {"metadata": {"path": str(NOTEBOOKS)}}
    ExecutePreprocessor(timeout=600, kernel_name="python3").preprocess(cells, where)
    used = sum(os.times()[2:4]) - sum(children)
    return used or time.perf_counter() - before


def slides(deck: Path) -> list[tuple[str, int, int]]:
    """Return title, words of the notes, and minutes of the activity of each slide.

    The last paragraph of the notes names the sources. It is not read aloud.
    """
    found = []
    for part in re.split(r"^(?=##? )", deck.read_text(encoding="utf-8"), flags=re.MULTILINE):
        if heading := re.match(r"##? (.*)", part):
            notes = re.search(r"^:::\{notes\}\n(.*?)^:::", part, re.DOTALL | re.MULTILINE)
            spoken = notes[1].rpartition("\n\nSource: ")[0] if notes else ""
            activity = re.match(r"Activity, (\d+) minutes?\.", spoken)
            found.append((heading[1], words(spoken), int(activity[1]) if activity else 0))
    return found


def plan(page: Path = HERE / "index.md") -> list[list[tuple[int, range]]]:
    """Return the rows of the two plans: minutes, and numbers of the slides."""
    lectures = []
    for text in re.split(r"^## Lecture ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        text = text.partition("\n## ")[0]
        rows = re.findall(r"^\| (\d+) \| [^|]+ \| (\d+)(?:–(\d+))? \|", text, re.MULTILINE)
        lectures.append([(int(m), range(int(a), int(b or a) + 1)) for m, a, b in rows])
    return lectures


def main() -> None:
    """Print both tables."""
    run = "--run" in sys.argv[1:]
    print("| notebook | | words | reading, min | core, min | lines of code | processor, s |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        found = notebook(path)
        read, core = (round(found[key] / WORDS_PER_MINUTE) for key in ("words", "core"))
        kind = "optional" if OPTIONAL[path.name[:2]] == "all" else "core"
        took = f"{seconds(path):.0f}" if run else ""
        row = (f"{found['words']:,}", read, core or "–", found["lines"], took)
        print(f"| {path.stem} | {kind} |", " | ".join(map(str, row)), "|", flush=True)
    print("\n| lecture | slides | plan, min | notes, min | activities, min | questions, min |")
    print("|---|---|--:|--:|--:|--:|")
    decks = sorted((HERE / "slides").glob("lecture_*.md"))
    for number, (deck, rows) in enumerate(zip(decks, plan(), strict=True), 1):
        found = slides(deck)
        for minutes, which in [*rows, (sum(m for m, _ in rows), range(1, len(found) + 1))]:
            chosen = [found[k - 1] for k in which]
            spoken = sum(count for _, count, _ in chosen) / WORDS_PER_MINUTE
            active = sum(minutes for *_, minutes in chosen)
            cells = (minutes, f"{spoken:.1f}", active, f"{minutes - spoken - active:.1f}")
            name = f"{which[0]}–{which[-1]}" if len(which) > 1 else which[0]
            print(f"| {number} | {name} |", " | ".join(map(str, cells)), "|")


if __name__ == "__main__":
    main()
