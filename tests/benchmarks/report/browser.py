"""Opens a page in headless Chromium and says what a reader would find wrong with it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# A window of Chromium is 500 pixels wide or more, so the page lies in a frame.
_FRAME = """<!doctype html><body>
<iframe style="width: {width}px; height: 900px; border: 0" srcdoc="{page}"></iframe>
<pre id="measured"></pre>
<script>
const loads = source => new Promise(done => {{
  const picture = new Image()
  picture.onload = () => done(picture.naturalWidth > 0)
  picture.onerror = () => done(false)
  picture.src = source
}})
addEventListener("load", async () => {{
  const view = document.querySelector("iframe").contentWindow, page = view.document, problems = []
  const style = element => view.getComputedStyle(element)
  const cut = e => e && (style(e).overflowX !== "visible" || cut(e.parentElement))
  const words = e => e.textContent.trim().slice(0, 30)
  const say = (what, e) => problems.push(`${{what}}: <${{e.tagName}}> "${{words(e)}}"`)
  if (page.documentElement.scrollWidth > view.innerWidth) problems.push("the page is wider than the window")
  for (const e of page.body.querySelectorAll("*")) {{
    const {{ left, right }} = e.getBoundingClientRect()
    if ((left < -1 || right > view.innerWidth + 1) && !cut(e.parentElement)) say("sticks out", e)
    const scrolls = /auto|scroll/.test(style(e).overflowX) && e.scrollWidth > e.clientWidth
    if (scrolls && style(e).backgroundImage === "none") say("scrolls and does not show it", e)
  }}
  const pictures = [...page.querySelectorAll("img, image")]
  for (const e of pictures) if (!await loads(e.src || e.href.baseVal)) say("does not load", e)
  const measured = {{ width: view.innerWidth, pictures: pictures.length, problems }}
  document.getElementById("measured").textContent = JSON.stringify(measured)
}})
</script>
"""


def look_at(page: str, width: int, scratch: Path) -> tuple[int, list[str]]:
    """Number of pictures in a page, and what is wrong with it in a window of `width` pixels.

    Wrong are messages on the console, a page or parts of it that are wider than the window, parts that scroll
    sideways and do not show it, and pictures that do not load.
    """
    assert CHROMIUM is not None
    frame = scratch / "frame.html"
    frame.write_text(_FRAME.format(width=width, page=html.escape(page)), encoding="utf-8")
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    arguments += [f"--user-data-dir={scratch / 'profile'}", "--window-size=1400,1000"]
    arguments += ["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom", frame.as_uri()]
    done = subprocess.run([CHROMIUM, *arguments], capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="measured">(.+?)</pre>', done.stdout)
    assert found is not None, done.stderr
    measured = json.loads(html.unescape(found[1]))
    assert measured["width"] == width
    said = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return measured["pictures"], measured["problems"] + said
