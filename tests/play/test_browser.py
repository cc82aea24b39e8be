"""The page in a real browser: it shows the numbers of Python, and asks nobody else."""

import functools
import http.server
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from browsing import Playground
from PIL import Image

from minicore import PatchCore, datasets, trace
from minicore.patchcore.threshold import p_values
from minicore.play.examples import Parts
from minicore.play.static_site import round_bank, write_site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    # Python 3.14 and the package onnx
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
# For tests of what the page does itself, or what only the local engine can do.
LOCAL = pytest.mark.parametrize("engine", ["local"], indirect=True, scope="module")
SCRATCHES = [((0.3, 0.35), (0.62, 0.6)), ((0.7, 0.25), (0.66, 0.6))]


@pytest.fixture(scope="module")
def local(launch, serve):
    """Address of the local server."""
    return serve(Parts()).server.address


@pytest.fixture(scope="module")
def site(launch, tmp_path_factory):
    """A folder with the static page, and its scene."""
    modules = os.environ.get("MINICORE_NODE_MODULES")
    if not modules:
        pytest.skip("MINICORE_NODE_MODULES is not set: a node_modules folder with onnxruntime-web")
    folder = tmp_path_factory.mktemp("site") / "playground"
    return folder, write_site(folder, Path(modules) / "onnxruntime-web", progress=False)


@pytest.fixture(scope="module")
def static(site):
    """Address of a plain file server with the static page."""

    class Files(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Files, directory=str(site[0]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module", params=["local", "static"])
def engine(request):
    return request.param


@pytest.fixture(scope="module")
def address(request, engine):
    """Address of the page with an engine."""
    return request.getfixturevalue(engine)


@pytest.fixture(scope="module")
def chromium(launch):
    return launch()


@pytest.fixture(scope="module")
def session(chromium, address):
    """One tab for all tests of an engine."""
    return Playground(chromium, address)


@pytest.fixture
def play(session):
    """The first good example of the part gear. At the end, nothing has been reported."""
    session.start_again("gear")
    yield session
    assert session.problems == []
    assert foreign(session) == []


def foreign(play):
    """Return the requests that were not sent to the page's own server."""
    return [url for url in play.requests if not url.startswith((play.address, "blob:", "data:"))]


@pytest.fixture(scope="module")
def detect(request, engine):
    """Compute with `PatchCore` what the page shows of prepared pixels."""
    train, fitted, network = datasets.synthetic("gear").train, {}, None
    if engine == "static":  # its weights and its memory bank are rounded to float16
        network = request.getfixturevalue("site")[1].model.backbone_

    def detect(pixels, **parameters):
        key = tuple(parameters.items())
        if key not in fitted:
            model = PatchCore(network, progress=False, **parameters).fit(train)
            if engine == "static":
                round_bank(model)
            fitted[key] = model
        # The model resizes to 256 pixels and keeps the central 224.
        image = np.pad(pixels, ((16, 16), (16, 16), (0, 0)))
        return fitted[key], fitted[key].detect(image), trace(fitted[key], image)

    return detect


# ------------------------------------------------------------------ draw a defect


@pytest.mark.parametrize("ends", SCRATCHES)
def test_a_scratch_makes_a_good_part_defective(play, ends):
    before = play.frame()
    assert play.text("verdict-word") == "Good" and before["score"] < before["threshold"]
    with play.new_frame():
        play.stroke(*ends)
    play.rest()
    assert play.text("verdict-word") == "Defective"
    shown, threshold = play.numbers("verdict-numbers")
    assert shown > threshold == pytest.approx(before["threshold"], abs=0.005)
    # The square of the deciding patch lies on the scratch.
    scene, (row, column) = play.scene(), play.numbers("this-caption")
    cell, stride = np.array(scene["layers"][0]["cell"]), scene["stride"]
    centre = cell * (stride * np.array([row, column]) + 0.5)
    half = cell * (2 * (scene["patchsize"] // 2) + 1) / 2
    scratch = np.linspace(*ends, 500)[:, ::-1] * scene["size"]
    assert (abs(scratch - centre) <= half).all(axis=1).any(), (row, column)


def test_undo_reset_and_eraser_restore_the_score(play):
    before, pixels = play.frame()["score"], play.pixels()
    undo, redo, reset = (play.tab.locator(f"#{name}") for name in ("undo", "redo", "reset"))
    assert undo.is_disabled() and redo.is_disabled() and reset.is_disabled()
    with play.new_frame():
        play.stroke(*SCRATCHES[0])
    scratched = play.frame()["score"]

    def expect(score, word):
        assert play.frame()["score"] == score and play.text("verdict-word") == word

    expect(scratched, "Defective")
    for action, score, word in [
        (undo.click, before, "Good"),
        (redo.click, scratched, "Defective"),
        (reset.click, before, "Good"),
        (lambda: play.tab.keyboard.press("Control+z"), scratched, "Defective"),
        (lambda: play.tab.keyboard.press("Control+z"), before, "Good"),
        (lambda: play.tab.keyboard.press("Control+y"), scratched, "Defective"),
    ]:
        with play.new_frame():
            action()
        expect(score, word)
    play.tab.click("[data-word=tool_eraser]")
    play.slide("size", 40)
    with play.new_frame():
        play.stroke(*SCRATCHES[0])
    # The soft edge of the eraser blends equal colours, and rounds them.
    np.testing.assert_allclose(play.pixels().astype(int), pixels, atol=2)
    assert play.text("verdict-word") == "Good"
    assert play.frame()["score"] == pytest.approx(before, rel=0.01)


@LOCAL
@pytest.mark.parametrize("tool", ["scratch", "brush", "spot", "smear", "copy"])
def test_every_tool_changes_the_pixels_under_it(play, tool):
    before = play.pixels()
    play.tab.click(f"[data-word=tool_{tool}]")
    with play.new_frame():
        play.stroke((0.3, 0.4), (0.45, 0.5))
    rows, columns = np.nonzero((play.pixels() != before).any(axis=2))
    size = np.array(before.shape[:2])
    low, high = np.array([0.4, 0.3]) * size - 45, np.array([0.5, 0.45]) * size + 45
    assert len(rows) > 20
    assert ([rows.min(), columns.min()] > low).all() and ([rows.max(), columns.max()] < high).all()


@LOCAL
@pytest.mark.parametrize("button", ["turn-left", "turn-right", "darker", "brighter"])
def test_every_button_changes_the_image(play, button):
    before = play.pixels().astype(int)
    with play.new_frame():
        play.tab.click(f"#{button}")
    change = play.pixels() - before
    assert (change != 0).any()
    if button in ("darker", "brighter"):
        assert (change >= 0).all() == (button == "brighter")


def test_after_many_quick_strokes_the_page_shows_the_last_pixels(play, detect):
    rng, before = np.random.default_rng(0), play.tab.evaluate("page.frames()")
    with play.new_frame():
        for start in rng.uniform(0.2, 0.7, (25, 2)):
            play.stroke(start, start + rng.uniform(-0.1, 0.1, 2), steps=3)
    play.rest()
    assert play.tab.evaluate("page.frames()") - before < 75  # not one frame for each movement
    _, found, _ = detect(play.pixels(), coreset_ratio=play.scene()["first_share"])
    assert play.frame()["score"] == pytest.approx(found.scores[0], rel=1e-4)
    assert play.numbers("verdict-numbers")[0] == pytest.approx(found.scores[0], abs=0.0051)
    np.testing.assert_allclose(play.array("map").reshape(224, 224), found.maps[0], rtol=1e-4)


# ------------------------------------------------------------------ the numbers


@pytest.mark.parametrize("painted", [False, True])
@pytest.mark.parametrize(
    ("sliders", "parameters"),
    [
        ({}, {}),
        ({"share": 0, "b": 5, "sigma": 2}, {"coreset_ratio": 0.01, "b": 5, "sigma": 2.0}),
        ({"share": "largest", "b": 20, "sigma": 0}, {"b": 20, "sigma": 0.0}),
    ],
    ids=["first settings", "1 %", "largest"],
)
def test_the_page_shows_the_numbers_of_python(play, detect, sliders, parameters, painted):
    scene, largest = play.scene(), sliders.get("share") == "largest"
    sliders = sliders | ({"share": 1000} if largest else {})
    parameters = {"coreset_ratio": scene["share" if largest else "first_share"]} | parameters
    for name, value in sliders.items():
        with play.new_frame():
            play.slide(name, value)
    if painted:
        with play.new_frame():
            play.stroke(*SCRATCHES[0])
        play.rest()
    model, found, expected = detect(play.pixels(), **parameters)
    values, near = play.frame(), lambda value: pytest.approx(value, rel=1e-4)
    assert values["score"] == near(found.scores[0]) == near(expected.s)
    assert values["s_star"] == near(found.distances[0])
    assert values["weight"] == near(expected.weight)
    assert values["threshold"] == near(model.threshold_)
    assert values["map_threshold"] == near(model.map_threshold_)
    low, high = p_values(found.scores * [[1.0001], [0.9999]], model.calibration_scores_).ravel()
    assert low - 1e-6 <= values["p_value"] <= high + 1e-6
    caption = play.text("histogram-caption")
    p = float(re.search(r"p-value is (\S+):", caption).group(1))
    assert p == pytest.approx(values["p_value"], rel=0.06)  # two digits
    np.testing.assert_allclose(play.array("map").reshape(224, 224), found.maps[0], rtol=1e-4)
    distances = expected.patch_scores.ravel()
    np.testing.assert_allclose(play.array("distances"), distances, rtol=1e-4)

    def shown(name):
        return pytest.approx(play.numbers(name), abs=0.000501)  # three digits

    anomalous = found.scores[0] > model.threshold_
    assert anomalous == painted
    assert play.text("verdict-word") == ("Defective" if anomalous else "Good")
    assert [found.scores[0], model.threshold_] == pytest.approx(
        play.numbers("verdict-numbers"), abs=0.00501
    )
    s, s_star, weight = expected.s, expected.s_star, expected.weight
    assert [1, 1 - weight, s_star, weight, s_star, s] == shown("score-numbers")
    assert [s_star] == shown("nearest-numbers")
    assert "This is s*" in play.text("nearest-numbers")
    assert tuple(play.numbers("this-caption")) == expected.position
    assert tuple(play.numbers("good-caption")) == expected.origin[1:]
    assert play.numbers("training-caption") == [expected.origin[0]]
    lines = play.tab.locator(".neighbour").all_inner_texts()
    numbers = [[float(number) for number in re.findall(r"\d+\.\d+", line)] for line in lines]
    columns = np.stack([expected.neighbour_distances, expected.softmax], axis=1)
    np.testing.assert_allclose(numbers, columns, atol=0.000501)
    assert play.tab.locator("#histogram .threshold").count() == 1


@LOCAL
def test_the_equations_give_the_same_numbers(play):
    before, S = play.frame(), play.array("map")
    with play.new_frame():
        play.tab.check("[name=engine][value=equations]")
    assert play.frame()["score"] == pytest.approx(before["score"], rel=1e-5)
    np.testing.assert_allclose(play.array("map"), S, rtol=1e-4)
    with play.new_frame():
        play.tab.check("[name=engine][value=fast]")
    assert play.frame()["score"] == before["score"]


# ------------------------------------------------------------------ every control


def test_a_slider_changes_what_its_panel_shows(play):
    radius = play.tab.locator("#radius text.good")
    found = []
    for position in (1000, 600, 300, 0):
        with play.new_frame():
            play.slide("share", position)
        percent, rows, every = play.numbers("share-value")
        assert percent == pytest.approx(100 * rows / every, rel=0.05)
        found.append((rows, float(radius.text_content().split()[-1]), play.frame()["s_star"]))
    rows, radii, distances = zip(*found, strict=True)
    assert rows[0] == play.scene()["rows"] and rows[-1] == pytest.approx(every / 100, abs=1)
    assert rows == tuple(sorted(rows, reverse=True))
    assert (radii[0] == 0) == (rows[0] == every) and radii == tuple(sorted(radii))
    assert distances == tuple(sorted(distances))  # fewer patches are farther away
    for b in (2, 20):
        with play.new_frame():
            play.slide("b", b)
        assert play.tab.locator(".neighbour").count() == b == play.numbers("b-value")[0]
        assert len(play.array("neighbours")) == b
    peaks = []
    for sigma in (0, 4, 12):
        with play.new_frame():
            play.slide("sigma", sigma)
        assert play.numbers("sigma-value") == [sigma]
        peaks.append(play.array("map").max())
    assert peaks[0] > peaks[1] > peaks[2]
    s_star = play.frame()["s_star"]
    assert 0.9 * s_star < peaks[0] <= s_star  # without smoothing, only interpolated


@LOCAL
def test_random_picks_are_compared_and_picks_appear_in_order(play):
    tab, texts = play.tab, play.tab.locator("#radius text")
    assert "random" not in " ".join(texts.all_text_contents())
    tab.check("#random")
    assert "random" in " ".join(texts.all_text_contents())
    assert "random picks" in play.text("bank-legend")
    tab.uncheck("#random")
    tab.emulate_media(reduced_motion="no-preference")
    tab.click("#fly")
    tab.click("#picks")
    label = tab.locator("#radius")

    def picked():
        return int(label.get_attribute("aria-label").split()[-2])

    play.wait(lambda: picked() < 10)
    counts = []
    for _ in range(4):
        counts.append(picked())
        tab.wait_for_timeout(400)
    assert counts == sorted(set(counts)) and counts[-1] < play.scene()["rows"]
    tab.emulate_media(reduced_motion="reduce")


@LOCAL
def test_p_s_and_levels_are_fitted_again(play):
    for name, value, grid, dimension in [
        ("s", "2", [14, 14], 384),
        ("p", "5", [14, 14], 384),
        ("layers", "layer3", [7, 7], 256),
    ]:
        with play.new_frame():
            play.tab.select_option(f"#setting-{name}", value)
        scene = play.scene()
        assert (scene["grid"], scene["dimension"]) == (grid, dimension)
        assert len(play.array("distances")) == grid[0] * grid[1]
        assert play.tab.locator(f"#setting-{name}").input_value() == value
    assert (scene["patchsize"], scene["stride"]) == (5, 2)
    for name, value in [("layers", "layer2 + layer3"), ("p", "3"), ("s", "1")]:
        with play.new_frame():
            play.tab.select_option(f"#setting-{name}", value)
    assert play.scene()["grid"] == [28, 28]


@LOCAL
def test_the_part_that_was_chosen_last_is_shown(play):
    with play.new_frame():
        for part in ("wood", "fabric", "wood", "gear"):
            play.tab.select_option("#part", part)
    assert play.problems == []
    assert play.scene()["part"] == "gear" and play.text("verdict-word") == "Good"
    gear = play.pixels()
    with play.new_frame():
        play.tab.select_option("#part", "wood")
    assert play.scene()["part"] == "wood" and play.text("verdict-word") == "Good"
    assert (play.pixels() != gear).any()


@LOCAL
def test_a_part_can_be_changed_while_the_pointer_moves(play):
    with play.new_frame():
        play.tab.evaluate("""() => {
          let count = 0;
          const moving = setInterval(() => page.app.frame && page.app.setHover(count++ % 2), 10);
          page.app.on("scene", () => clearInterval(moving));
        }""")
        play.tab.wait_for_timeout(200)
        play.tab.locator("#part").dispatch_event("change")
    assert play.problems == []  # no feature was asked for before the part had a frame


@pytest.mark.parametrize("kind", ["defective", "training", "good"])
def test_examples_can_be_chosen(play, kind):
    with play.new_frame():
        play.tab.select_option("#example-kind", kind)
    first = play.pixels()
    number, count = play.numbers("example-number")
    assert number == 1 and count == play.scene()["images"][kind]
    with play.new_frame():
        play.tab.click("#example-next")
    assert play.numbers("example-number")[0] == 2 and (play.pixels() != first).any()
    for _ in range(2):
        with play.new_frame():
            play.tab.click("#example-back")
    assert play.numbers("example-number")[0] == count


def test_the_source_of_each_equation_is_shown(play):
    for panel, functions in {
        "patches": ["eq1_", "eq2_", "eq3_"], "bank": ["eq4_", "eq5_"], "nearest": ["eq6_"],
        "score": ["eq7_"],
    }.items():  # fmt: skip
        source = play.tab.locator(f"#panel-{panel} .source")
        for i, name in enumerate(functions):
            if len(functions) > 1:
                source.locator("button").nth(i).click()
            file = source.locator(".head code")
            play.wait(lambda file=file, name=name: file.inner_text().startswith(name))
            assert "return" in " ".join(source.locator(".computes").all_inner_texts())
        if panel != "bank":
            assert "ms" in source.locator(".time").inner_text()


# ------------------------------------------------------------------ keyboard, language, phone


@LOCAL
@pytest.mark.parametrize("name", ["distances", "paint"])
def test_arrows_choose_a_patch(play, name):
    tab, (row, column) = play.tab, play.numbers("this-caption")
    deciding, grid = play.text("this-caption"), play.scene()["grid"]
    assert deciding.startswith("Patch with the largest distance")
    tab.focus(f"#{name}")
    for key, down, right in [("Up", -1, 0), ("Left", 0, -1), ("Left", 0, -1), ("Down", 1, 0),
                             ("Right", 0, 1)]:  # fmt: skip
        tab.keyboard.press(f"Arrow{key}")
        row = min(max(row + down, 0), grid[0] - 1)
        column = min(max(column + right, 0), grid[1] - 1)
        assert play.numbers("this-caption") == [row, column]
    distances = play.array("distances").reshape(grid)
    expected = pytest.approx(distances[int(row), int(column)], abs=0.000501)
    assert play.numbers("nearest-numbers")[0] == expected
    tab.keyboard.press("Escape")
    assert play.text("this-caption") == deciding


@LOCAL
def test_the_keyboard_can_draw(play):
    before = play.frame()["score"]
    play.tab.focus("#paint")
    with play.new_frame():
        play.tab.keyboard.press("Space")
    assert play.frame()["score"] > before
    with play.new_frame():
        play.tab.keyboard.press("Control+z")
    assert play.frame()["score"] == before


@LOCAL
def test_the_tour_has_seven_steps(play):
    tab = play.tab
    tab.click("#start-tour")
    texts = []
    for step in range(1, 8):
        assert play.text("tour-title") == f"Step {step} of 7"
        texts.append(play.text("tour-text"))
        assert tab.locator(".toured").count() == 1
        assert tab.locator("#tour-next").evaluate("button => button === document.activeElement")
        if step == 2:
            play.wait(lambda: play.text("verdict-word") == "Defective", 20)
        tab.keyboard.press("Enter")
    assert tab.locator("#tour").is_hidden() and tab.locator(".toured").count() == 0
    assert len(set(texts)) == 7 and all(texts)
    tab.click("#start-tour")
    tab.keyboard.press("Escape")
    assert tab.locator("#tour").is_hidden()


VISIBLE_TEXTS = """() => {
  const texts = [], names = "code, math, #part, #language, #setting-layers, #spoken, #tour, h1";
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (!parentElement.closest(names)) texts.push(data);
  }
  for (const name of ["aria-label", "title"])
    for (const element of document.querySelectorAll(`[${name}]`))
      texts.push(element.getAttribute(name));
  return texts.filter((text) => text.trim());
}"""


NEIGHBOURS_ARE_TITLED = """() => {
  const { origins } = page.app.scene.arrays, { neighbours } = page.app.frame.arrays;
  const titles = [...document.querySelectorAll(".neighbour canvas")].map(({ title }) => title);
  const image = (i) => origins.data[3 * neighbours.data[i]];
  return titles.every((title, i) => title === `in training image ${image(i)}`);
}"""


@LOCAL
def test_all_texts_are_translated(play):
    tab = play.tab
    with play.new_frame():
        play.stroke(*SCRATCHES[0])
    play.rest()
    tab.check("#random")
    play.wait(lambda: tab.evaluate(NEIGHBOURS_ARE_TITLED))  # after their images have arrived
    english = tab.evaluate(VISIBLE_TEXTS)
    tab.click("#language")
    assert tab.locator("html").get_attribute("lang") == "ko"
    play.wait(lambda: re.search("[가-힣]", play.text("spoken")))  # after a second
    korean = tab.evaluate(VISIBLE_TEXTS)
    words = [
        text for text in korean if re.search("[A-Za-z]{3}", text) and not re.search("[가-힣]", text)
    ]
    assert words == []
    assert sum(bool(re.search("[가-힣]", text)) for text in korean) > 80
    tab.click("#language")
    play.wait(lambda: tab.evaluate(VISIBLE_TEXTS) == english, 10)
    tab.uncheck("#random")
    tab.click("#language")
    tab.click("#start-tour")
    for _ in range(7):
        assert re.search("[가-힣]", play.text("tour-text"))
        tab.keyboard.press("Enter")
    tab.click("#language")


@pytest.mark.parametrize("width", [390, 360])
def test_a_phone_shows_the_page_without_horizontal_scrolling(chromium, address, width):
    phone = Playground(
        chromium, address, viewport={"width": width, "height": 780}, has_touch=True, is_mobile=True
    )
    for _ in range(2):
        assert phone.tab.evaluate("document.documentElement.scrollWidth") <= width
        phone.tab.tap("#language")
    before = phone.pixels()
    phone.tab.tap("[data-word=tool_spot]")
    with phone.new_frame():
        phone.tab.tap("#paint")
    assert (phone.pixels() != before).any()
    assert phone.problems == [] and foreign(phone) == []
    phone.context.close()


# ------------------------------------------------------------------ own images


def test_no_request_leaves_the_machine(chromium, address):
    play = Playground(chromium, address)
    with play.new_frame():
        play.stroke(*SCRATCHES[0])
    with play.new_frame():
        play.tab.select_option("#example-kind", "defective")
    play.rest()
    play.tab.wait_for_timeout(500)
    assert len(play.requests) > 20 and foreign(play) == [] and play.problems == []
    play.context.close()


@pytest.fixture
def folder(tmp_path):
    """A folder with good images, and a file that is none."""
    parts = datasets.synthetic("blister", n_train=8, n_good=1, n_defective=1)
    for i, image in enumerate(parts.train):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_a_folder_of_good_images_can_be_learned(chromium, local, folder):
    play = Playground(chromium, local)
    tab = play.tab
    tab.click("#own summary")
    assert tab.locator("#learn").is_disabled()
    tab.set_input_files("#open-folder", folder)
    play.wait(lambda: play.text("own-note") == "Now press “Learn”.")
    assert play.numbers("collected") == [8]
    with play.new_frame():
        tab.click("#learn")
    play.wait(lambda: "has learned your images" in play.text("own-note"))
    assert tab.locator("#part").input_value() == play.scene()["part"] == "own"
    assert play.scene()["images"] == {"training": 8, "good": 0, "defective": 0}
    with play.new_frame():
        tab.set_input_files("#open-image", folder / "0.png")
    good = play.frame()["score"]
    with play.new_frame():
        play.stroke(*SCRATCHES[0])
    assert play.frame()["score"] > 1.5 * good
    tab.set_input_files("#open-image", folder / "notes.txt")
    play.wait(lambda: play.text("own-note") == "The browser cannot read notes.txt.")
    assert play.problems == [] and foreign(play) == []
    play.context.close()


def test_the_camera_can_be_learned_and_is_shown_live(launch, local):
    camera = launch("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    play = Playground(camera, local, permissions=["camera"])
    tab = play.tab
    tab.click("#own summary")
    with play.new_frame():
        tab.click("#camera")
        play.wait(lambda: play.numbers("rate"))
        tab.click("#collect")
        play.wait(lambda: play.text("own-note") == "Now press “Learn”.")
        assert play.numbers("collected") == [20]
        tab.click("#learn")
        play.wait(lambda: "has learned your images" in play.text("own-note"))
        seen = []
        for _ in range(5):  # the map follows the camera
            count = tab.evaluate("page.frames()")
            play.wait(lambda count=count: tab.evaluate("page.frames()") > count + 2, 20)
            seen.append(play.frame()["score"])
        assert play.scene()["part"] == "own" and len(set(seen)) > 1
        assert play.numbers("rate")[0] > 0.5
        tab.click("#camera")
    assert play.text("rate") == "" and tab.locator("#collect").is_hidden()
    assert play.problems == [] and foreign(play) == []


def test_without_a_camera_the_page_explains_what_works(chromium, local):
    play = Playground(chromium, local)
    play.tab.click("#own summary")
    play.tab.click("#camera")
    sentence = "No camera is available. A folder of good images works the same."
    play.wait(lambda: play.text("own-note") == sentence)
    assert play.tab.locator("#camera").get_attribute("aria-pressed") == "false"
    assert play.problems == [] and foreign(play) == []
    play.context.close()


@pytest.mark.parametrize("options", [{"score": "top", "whiten": True}, {"b": None}], ids=str)
def test_a_model_that_leaves_equation_7_out_has_its_own_explanation(
    chromium, serve, tiny, mvtec_root, tmp_path, options
):
    folder = mvtec_root / "gear" / "train" / "good"
    model = PatchCore(tiny, resize="none", crop="none", progress=False, **options).fit(folder)
    play = Playground(chromium, serve(Parts(model.save(tmp_path / "m"))).server.address)
    found = trace(model, play.pixels())
    assert play.frame()["score"] == pytest.approx(found.s, rel=1e-4)
    top = found.top is not None
    equation = play.tab.locator("#panel-score math[display=block]")
    assert equation.is_hidden() == play.tab.locator("#neighbours").is_hidden() == top
    if top:
        assert "mean of the 3 largest distances" in play.text("score-text")
        expected = pytest.approx([found.s, found.s_star], abs=0.000501)
        assert play.numbers("score-numbers") == expected
        play.wait(lambda: "Whitened patch feature" in play.text("feature-caption"))
        assert play.numbers("feature-caption")[0] == found.patches.shape[2]
    else:
        assert "1 minus the share of m*" in play.text("score-text")
    assert play.problems == [] and foreign(play) == []
    play.context.close()
