"""The page of the playground in Chromium, as its user sees it and with the state that it holds."""

import base64
import contextlib
import io
import re
import time

import numpy as np
from PIL import Image

# Added to main.js on its way to the browser, so that tests can read what the page holds.
STATE = """
let frames = 0;
app.on("frame", () => (frames += 1));
const idle = () => !asking && !again && element("busy").hidden;
globalThis.page = { app, frames: () => frames, idle };
"""


class Playground:
    """A tab with the page, and all that it requested and reported.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
    address : str
    **options
        Of `Browser.new_context`.
    """

    def __init__(self, browser, address, **options):
        self.address, self.requests, self.problems = address, [], []
        defaults = {"locale": "en-US", "reduced_motion": "reduce"}  # motion takes time
        self.context = browser.new_context(**{**defaults, **options})
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.context.on("console", self._read)
        self.context.on("weberror", lambda error: self.problems.append(str(error.error)))
        self.context.route("**/main.js", self._add_state)
        self.tab = self.context.new_page()
        self.tab.goto(address)
        self.wait(lambda: self.tab.evaluate("'page' in globalThis && page.frames() > 0"))
        self.wait(lambda: self.tab.evaluate("page.idle()"))

    def _read(self, message):
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def _add_state(self, route):
        response = route.fetch()
        route.fulfill(response=response, body=response.text() + STATE)

    # ------------------------------------------------------------------ time

    def wait(self, condition, seconds=120):
        """Wait until a condition is true."""
        end = time.monotonic() + seconds
        while not condition():
            shown = self.text("problem") or self.text("own-note")
            assert time.monotonic() < end, f"after {seconds} s; the page shows {shown!r}"
            self.tab.wait_for_timeout(20)

    @contextlib.contextmanager
    def new_frame(self):
        """Do something that asks for a new frame, and wait until the page shows it."""
        before = self.tab.evaluate("page.frames()")
        yield
        self.wait(lambda: self.tab.evaluate(f"page.frames() > {before} && page.idle()"))
        assert self.tab.locator("#problem").is_hidden(), self.text("problem")

    # ------------------------------------------------------------------ what it shows and holds

    def text(self, name):
        """Return the text of an element."""
        return self.tab.locator(f"#{name}").inner_text()

    def numbers(self, name):
        """Return the numbers in the text of an element."""
        return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", self.text(name))]

    def frame(self):
        """Return the values of the frame that the panels show."""
        return self.tab.evaluate("page.app.frame.values")

    def scene(self):
        """Return the values of the scene."""
        return self.tab.evaluate("page.app.scene.values")

    def array(self, name):
        """Return an array of the frame."""
        return np.array(self.tab.evaluate(f"Array.from(page.app.frame.arrays.{name}.data)"))

    def pixels(self):
        """Return the painted image, (h, w, 3) uint8."""
        png = self.tab.evaluate("document.getElementById('paint-pixels').toDataURL()")
        with Image.open(io.BytesIO(base64.b64decode(png.partition(",")[2]))) as image:
            return np.asarray(image.convert("RGB"))

    # ------------------------------------------------------------------ what its user does

    def stroke(self, *points, steps=8):
        """Drag the mouse through points of the image, (x, y) from 0 to 1."""
        self.tab.locator("#paint").scroll_into_view_if_needed()
        box, mouse = self.tab.locator("#paint-pixels").bounding_box(), self.tab.mouse
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        mouse.move(*places[0])
        mouse.down()
        for place in places[1:]:
            mouse.move(*place, steps=steps)
        mouse.up()

    def rest(self):
        """Move the mouse away from all panels."""
        self.tab.mouse.move(1, 1)

    def slide(self, name, value):
        """Move a slider."""
        self.tab.locator(f"#{name}").evaluate(
            "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')) }",
            value,
        )

    def start_again(self, part):
        """Open the first good example of a part, with the settings of the beginning."""
        with self.new_frame():
            self.tab.locator("#part").evaluate(
                "(list, part) => { list.value = part; list.dispatchEvent(new Event('change')) }",
                part,
            )
        with self.new_frame():
            self.tab.select_option("#example-kind", "good")
        self.tab.click("[data-word=tool_scratch]")
        self.slide("size", 12)
        self.rest()
