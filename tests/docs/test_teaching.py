"""The plans of docs/teaching fill their minutes. What plans and slides name exists."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEACHING = ROOT / "docs" / "teaching"
DECKS = sorted((TEACHING / "slides").glob("lecture_*.md"))
INDEX = (TEACHING / "index.md").read_text(encoding="utf-8")
# "05, exercises 1 and 2": the number of a notebook, and the numbers of its exercises
EXERCISES = re.compile(r"\b(\d\d)\**, exercises? (\d)(?: (?:and|to) (\d))?")


def loaded(name: str, path: Path):
    """Import a script of the documentation."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def times():
    before = list(sys.path)
    try:
        yield loaded("times", TEACHING / "times.py")
    finally:
        sys.path[:] = before
        sys.modules.pop("pictures", None)


@pytest.fixture(scope="module")
def headings(times) -> dict[str, set[str]]:
    """The headings of each notebook, by its number."""
    notebooks = sorted(times.NOTEBOOKS.glob("*.ipynb"))
    return {path.name[:2]: {title for title, _ in times.sections(path)} for path in notebooks}


def test_the_minutes_of_each_plan_sum_to_a_lecture(times):
    plans = times.plan()
    assert len(plans) == len(DECKS) == 2
    assert [sum(minutes for minutes, _ in rows) for rows in plans] == [times.MINUTES] * 2


def test_each_plan_has_every_slide_once_in_order(times):
    for deck, rows in zip(DECKS, times.plan(), strict=True):
        numbers = [number for _, which in rows for number in which]
        assert numbers == list(range(1, len(times.slides(deck)) + 1))
        assert 20 <= len(numbers) <= 25


def test_notes_and_activities_fit_into_each_part_of_a_plan(times):
    for deck, rows in zip(DECKS, times.plan(), strict=True):
        found = times.slides(deck)
        left = []
        for minutes, which in rows:
            chosen = [found[number - 1] for number in which]
            needed = sum(count / times.WORDS_PER_MINUTE + active for _, count, active in chosen)
            left.append(minutes - needed)
        assert min(left) > 0.5, (deck.name, left)
        assert sum(left) > 10, "too few minutes for questions"


def test_every_slide_has_notes_that_name_their_source(times):
    for deck in DECKS:
        text = deck.read_text(encoding="utf-8")
        found = times.slides(deck)
        assert text.count("\n\nSource: ") == len(found)
        assert all(60 <= count <= 210 for _, count, _ in found), found


def test_longer_notes_need_more_minutes(times, tmp_path):
    deck = tmp_path / "deck.md"
    notes = "Activity, 5 minutes. One two.\n\nThree `code` $x$ four.\n\nSource: not read.\n"
    deck.write_text(f"# A\n\n:::{{notes}}\n{notes}:::\n\n## B\n\ntext\n")
    assert times.slides(deck) == [("A", 7, 5), ("B", 0, 0)]


def test_every_notebook_and_heading_that_the_plans_and_slides_name_exists(headings):
    slides = "\n".join(deck.read_text(encoding="utf-8") for deck in DECKS)
    found = 0
    # 05, "Algorithm 1" and "Real patches" · Source: notebook 05, "Algorithm 1"; notebook 06, …
    named = re.compile(r'\b(\d\d), ((?:"[^"]+"(?:, | and |,? ?\([^)]*\) and )?)+)')
    for number, titles in named.findall(re.sub(r"\s+", " ", INDEX + slides)):
        for title in re.findall(r'"([^"]+)"', titles):
            plain = {re.sub(r"[$^]", "", heading) for heading in headings[number]}
            title = re.sub(r"[$^]", "", title)
            assert any(heading.startswith(title) for heading in plain), (number, title)
            found += 1
    assert found > 60


def test_the_optional_sections_exist(times, headings):
    assert set(times.OPTIONAL) == set(headings)
    for number, titles in times.OPTIONAL.items():
        assert titles == "all" or set(titles) <= headings[number], number


def test_every_exercise_that_the_pages_name_exists(times):
    pages = [*TEACHING.glob("*.md"), *DECKS]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    named = EXERCISES.findall(re.sub(r"\s+", " ", text))
    assert len(named) > 15
    for number, first, last in named:
        (path,) = times.NOTEBOOKS.glob(f"{number}_*.ipynb")
        (cells,) = (cells for title, cells in times.sections(path) if title == "Exercises")
        source = "\n".join("".join(cell["source"]) for cell in cells)
        for exercise in (first, last or first):
            assert re.search(rf"^(?:\*\*{exercise}\.|{exercise}\. )", source, re.MULTILINE), number


def test_the_rubric_names_exercises_with_a_check_and_has_a_hundred_points(times):
    text = (TEACHING / "rubric.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\d\d), exercise \d \| (\d+) \|", text, re.MULTILINE)
    assert len({name for name, *_ in rows}) == len(rows) == 13
    for name, number, _ in rows:
        (path,) = times.NOTEBOOKS.glob(f"{number}_*.ipynb")
        assert f'course.check(\\"{name}\\"' in path.read_text(encoding="utf-8")
    assert sum(int(points) for *_, points in rows) == 40
    titles = re.findall(r"^## .+: (\d+) points$", text, re.MULTILINE)
    assert titles == ["40", "30", "30"]
    project = text[text.index("## Project") :]
    assert sum(map(int, re.findall(r"^\| (\d) \|", project, re.MULTILINE))) == 30


def test_every_picture_of_the_slides_exists(times):
    pictures = sys.modules["pictures"]
    names = [name for deck in DECKS for name in pictures.NAMED.findall(deck.read_text("utf-8"))]
    assert len(names) > 25
    for name in names:
        assert len(pictures.content(name)) > 1000, name
    for name in ("05_algorithm-1_9.png", "05_no-heading_1.png", "gone.png"):
        with pytest.raises(FileNotFoundError, match=name):
            pictures.content(name)


def test_the_table_of_the_notebooks_is_still_true(times):
    rows = re.findall(r"^\| (\d\d_\w+) \| (\w+) \| ([\d,]+) \|", INDEX, re.MULTILINE)
    notebooks = sorted(times.NOTEBOOKS.glob("*.ipynb"))
    assert [name for name, *_ in rows] == [path.stem for path in notebooks]
    for (_, kind, words), path in zip(rows, notebooks, strict=True):
        counted = times.notebook(path)["words"]
        assert abs(int(words.replace(",", "")) - counted) < 0.2 * counted, path.name
        assert (kind == "optional") == (times.OPTIONAL[path.name[:2]] == "all")


def test_the_quiz_has_fifteen_questions_and_says_what_each_wrong_answer_shows():
    text = (TEACHING / "quiz.md").read_text(encoding="utf-8")
    questions = re.split(r"^## Question \d+$", text, flags=re.MULTILINE)[1:]
    assert len(questions) == 15
    letters = []
    for question in questions:
        shown, answer = question.split("<details>")
        (right,) = re.findall(r"^\*\*([A-D]) is right\.\*\*", answer, re.MULTILINE)
        assert re.findall(r"^([A-D])\. ", shown, re.MULTILINE) == list("ABCD")
        wrong = re.findall(r"^- \*\*([A-D])\*\*: ", answer, re.MULTILINE)
        assert [*wrong, right] == [*(c for c in "ABCD" if c != right), right]
        letters.append(right)
    assert max(map(letters.count, "ABCD")) <= 5
