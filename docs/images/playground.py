"""Draw playground.webp, thirty strokes in the playground: ``python docs/images/playground.py``.

It needs ``pip install -e ".[play,dev]"`` and Chromium.
"""

import io
import shutil
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from minicore.play.examples import Parts
from minicore.play.server import Server

SIZE = {"width": 1240, "height": 700}  # of the window, in pixels
WIDTH = 992  # of the picture
# The parts of the page that change, without texts and settings.
STYLE = """
header p, .controls, .example, .hint, .tools, .row, #own, .equation, .panel > p, figcaption,
.legend, #panel-patches, .heads, #neighbours, #radius { display: none !important; }
main { grid-template-columns: 440px 1fr; }
.panels { grid-template-columns: 1fr 1fr; }
.panel { display: block; }
#panel-score { grid-column: 1 / -1; }
.figure { margin-top: 8px; }
"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Tool, start and end of each stroke, as shares of the image. "reset" begins again.
CORNERS = ((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7), (0.5, 0.5), (0.5, 0.2))
AWAY = ((0.35, 0), (0, 0.35), (-0.35, 0), (0, -0.35), (0.25, 0.25), (-0.25, 0.25))
RING = ((0.5, 0.3), (0.65, 0.4), (0.65, 0.6), (0.5, 0.7), (0.35, 0.6), (0.35, 0.4))
STROKES = [
    *[("scratch", (0.30 + 0.05 * k, 0.28), (0.42 + 0.05 * k, 0.46)) for k in range(6)],
    "reset",
    *[("spot", place, place) for place in CORNERS],
    "reset",
    *[("smear", (0.5, 0.5), (0.5 + x, 0.5 + y)) for x, y in AWAY],
    "reset",
    *[("copy", (0.5, 0.12), place) for place in RING],
    "reset",
    *[("brush", (0.25, 0.3 + 0.08 * k), (0.75, 0.3 + 0.08 * k)) for k in range(6)],
]


def picture(page: Page) -> Image.Image:
    """Return the window as a picture, when the page shows the newest numbers."""
    page.wait_for_timeout(120)
    page.locator("#busy[hidden]").wait_for(state="attached")
    page.wait_for_timeout(350)  # the dots of the memory bank move
    whole = Image.open(io.BytesIO(page.screenshot()))
    return whole.convert("RGB").resize((WIDTH, WIDTH * whole.height // whole.width))


def draw(page: Page, tool: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw one stroke."""
    page.locator(f"[data-word=tool_{tool}]").dispatch_event("click")
    box = page.locator("#paint").bounding_box()
    x, y, side = box["x"], box["y"], box["width"]
    page.mouse.move(x + side * start[0], y + side * start[1])
    page.mouse.down()
    page.mouse.move(x + side * end[0], y + side * end[1], steps=6)
    page.mouse.up()
    page.mouse.move(0, 0)


def main() -> None:
    """Record all strokes."""
    server = Server(Parts())
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with sync_playwright() as playwright:
            path = next(filter(None, map(shutil.which, BROWSERS)))
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = browser.new_page(
                viewport=SIZE, locale="en-US", color_scheme="light", bypass_csp=True
            )
            page.goto(server.address)
            page.add_style_tag(content=STYLE)
            page.locator("#verdict-numbers:not(:empty)").wait_for(timeout=120_000)
            frames = [picture(page)]
            for stroke in STROKES:
                if stroke == "reset":
                    page.locator("#reset").dispatch_event("click")
                else:
                    draw(page, *stroke)
                frames.append(picture(page))
            browser.close()
    finally:
        server.stop()
        thread.join()
    target = Path(__file__).with_suffix(".webp")
    frames[0].save(
        target, save_all=True, append_images=frames[1:], duration=450, loop=0, quality=60, method=6
    )
    print(f"{target}: {len(frames)} pictures, {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
