"""`python -m benchmarks.live.paint ADDRESS SITES ROUNDS`: until the big picture is useful in Chromium.

Nothing is cached, somebody is logged in. Useful is: a marker of every site on the map, the counters filled, and the
next frame drawn. Milliseconds from the beginning of the navigation, by the page's own clock. Prints one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys

from playwright.async_api import Browser, async_playwright

from benchmarks import chromium
from benchmarks.live.stage import cookie

# The page keeps the mark while somebody is logged in.
WATCH = """(sites) => {
  if (location.protocol === 'http:') localStorage.setItem('smartsite.session', '1')
  let done
  window.useful = new Promise((resolve) => { done = resolve })
  const look = () => {
    const markers = document.querySelectorAll('.site-marker').length
    const counter = document.querySelector('[data-test=count-sites] .figure')
    if (markers >= sites && counter && /[1-9]/.test(counter.textContent)) {
      requestAnimationFrame(() => requestAnimationFrame(() => { done(performance.now()) }))
    } else requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
}"""
TIMES = """async () => {
  const useful = await window.useful
  const first = performance.getEntriesByName('first-contentful-paint')[0]
  const files = performance.getEntriesByType('resource')
  const last = (name) => Math.max(...files.filter((file) => name.test(file.name)).map((file) => file.responseEnd))
  return {
    useful, first: first ? first.startTime : null, files: files.length,
    kb: files.reduce((sum, file) => sum + file.encodedBodySize, 0) / 1000,
    scripts: last(/\\.js$/), data: last(/v1\\/(sites|cameras|alerts)/),
  }
}"""


async def once(browser: Browser, address: str, sites: int) -> dict[str, float]:
    """One visit by a browser that knows nothing."""
    context = await browser.new_context(viewport={"width": 1920, "height": 1080}, locale="zh-CN")
    name, _, value = cookie(1).partition("=")
    await context.add_cookies([{"name": name, "value": value, "url": f"http://{address}"}])
    await context.add_init_script(f"({WATCH})({sites})")
    page = await context.new_page()
    await page.goto(f"http://{address}/", wait_until="commit")
    found: dict[str, float] = await page.evaluate(TIMES)
    await context.close()
    return found


async def run(address: str, sites: int, rounds: int) -> None:
    """The median of visits, the first of which warms up the browser and the server."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.PROGRAM, args=chromium.ARGUMENTS)
        visits = [await once(browser, address, sites) for _ in range(rounds + 1)][1:]
        await browser.close()

    def middle(name: str) -> float:
        return round(statistics.median(visit[name] for visit in visits))

    useful = [round(visit["useful"]) for visit in visits]
    figures = {
        "useful_ms": middle("useful"),
        "useful_ms_of": useful,
        "first_contentful_ms": middle("first"),
        "scripts_there_ms": middle("scripts"),
        "data_there_ms": middle("data"),
        "files": middle("files"),
        "kb": middle("kb"),
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
