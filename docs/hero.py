"""Record the animation on Overview, frame by frame, in a browser whose clock is paused."""

import io

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize

WINDOW: ViewportSize = {"width": 1240, "height": 900}
WIDTH = 860
"""Width of the animated picture in pixels."""
BYTES_MAX = 700_000
FRAME_MS = 100
"""Milliseconds of each frame, in the browser and in the picture."""
FRAMES = 13
"""Frames for each token, from the moment at which the animation chooses it; the rest of its time is left out."""
TOKENS = 3


def next_token(page: Page) -> None:
    """Advance the clock until the animation chooses another token."""
    hero = page.locator(".hero")
    before = hero.get_attribute("data-query")
    for _ in range(200):
        page.clock.run_for(50)
        if hero.get_attribute("data-query") != before:
            return
    raise RuntimeError("The animation on Overview does not play.")


def take_frames(browser: Browser, address: str) -> list[Image.Image]:
    """Return the frames of the animation for the first tokens, beginning with the class token."""
    context = browser.new_context(
        viewport=WINDOW, base_url=address, color_scheme="light", reduced_motion="no-preference"
    )
    try:
        page = context.new_page()
        page.clock.install()
        page.goto("/")
        page.locator(".hero[data-playing=true]").wait_for(timeout=120_000)
        page.wait_for_timeout(3000)  # the rest of the page loads, so that the animation no longer moves
        page.clock.pause_at(page.evaluate("() => Date.now()") + 1000)
        box = page.locator(".hero").bounding_box()
        assert box is not None
        clip = {name: box[name] - space for name, space in (("x", 12), ("y", 8))} | {
            name: box[name] + space for name, space in (("width", 24), ("height", 16))
        }
        frames = []
        while page.locator(".hero").get_attribute("data-query") != "0":  # begin with the class token
            next_token(page)
        for number in range(TOKENS):
            if number:
                next_token(page)
            for _ in range(FRAMES):
                picture = Image.open(io.BytesIO(page.screenshot(clip=clip)))  # type: ignore[arg-type]
                frames.append(picture.convert("RGB"))
                page.clock.run_for(FRAME_MS)
        return frames
    finally:
        context.close()


def animated(frames: list[Image.Image]) -> bytes:
    """Return frames as an animated WebP that repeats, in the best quality with at most :data:`BYTES_MAX` bytes."""
    size = WIDTH, round(frames[0].height * WIDTH / frames[0].width)
    first, *others = [frame.resize(size, Image.Resampling.LANCZOS) for frame in frames]
    for quality in range(80, 20, -10):
        content = io.BytesIO()
        first.save(
            content,
            "WEBP",
            save_all=True,
            append_images=others,
            duration=FRAME_MS,
            loop=0,
            quality=quality,
            method=4,
        )
        if content.tell() <= BYTES_MAX:
            break
    return content.getvalue()
