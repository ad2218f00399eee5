"""A list of ten thousand. What /v1/tree would answer is made in the browser."""
import os

from browser import run

URL = os.environ["URL"]
MANY = """
  const adapters = Array.from({length: 10000}, (_, i) => ({
    name: "adapter-" + String(i).padStart(5, "0"), base: "base", created_ms: 1, changed_ms: i + 1,
    state: i % 10 ? "ready" : "failed", current: 1 + i % 7, versions: [1],
    files: {"metrics.json": [10, 1]}}));
  const real = window.fetch;
  window.asked = [];
  window.listings = 0;
  window.fetch = (path, options) => {
    const json = value => Promise.resolve(new Response(JSON.stringify(value)));
    if (path.startsWith("/v1/tree?since="))
      return Promise.resolve(new Response(null, {status: 304}));
    if (path.startsWith("/v1/tree")) return json({generation: 1, bases: [], adapters});
    window.listings += path === "/v1/jobs";
    if (!path.includes("/files/")) return real(path, options);
    window.asked.push(path);
    return json({eval: {score: 0.5, metric: "accuracy"}, base: {score: 0.25}});
  };
"""


def rows(b):
    return b.script("return document.querySelectorAll('.vspace .vrow').length")


def first(b, name):
    """The row is the first in sight."""
    b.wait(name, lambda: b.script("""
        const body = document.querySelector(".vspace");
        const top = document.querySelector(".vhead").getBoundingClientRect().bottom;
        const near = [...body.querySelectorAll(".vrow")].filter(r =>
          Math.abs(r.getBoundingClientRect().top - top) < 60);
        return near.some(r => r.textContent.includes(arguments[0]));
        """, name))


def test(b):
    b.devtools("Page.addScriptToEvaluateOnNewDocument", {"source": MANY})
    b.open(f"{URL}/")
    b.says("10,000 adapters")
    first(b, "adapter-00000")
    assert rows(b) < 60, rows(b)
    b.wait("scores", lambda: "0.500" in b.find(".vspace .vrow", "adapter-00000").text())
    assert b.find(".vtable").attribute("aria-rowcount") == "10001"

    # To the end, by the keyboard and by scrolling through all of it.
    b.script("document.querySelector('.vspace a').focus()")
    b.press("End")
    b.find(".vspace a", "adapter-09999")
    assert b.script("return document.activeElement.textContent") == "adapter-09999"
    b.press("ArrowUp")
    assert b.script("return document.activeElement.textContent") == "adapter-09998"
    b.press("Home")
    first(b, "adapter-00000")
    b.script("""
        window.scrolled = 0;
        const body = document.querySelector(".vtable");
        const step = () => {
          body.scrollTop += 20000;
          if (++window.scrolled < 30) requestAnimationFrame(step);
        };
        requestAnimationFrame(step);""")
    b.wait("all of it", lambda: b.script("return window.scrolled") == 30)
    b.find(".vspace a", "adapter-09999")
    assert rows(b) < 60, rows(b)
    asked = b.script("return window.asked.length")
    assert asked < 31 * 60, asked

    b.script("document.querySelector('.vtable').scrollTop = 0")
    b.click(".vhead button", "Changed")
    first(b, "adapter-09999")
    b.type(".search", "00042")
    b.says("1 of 10,000 adapters")
    first(b, "adapter-00042")
    b.type(".search", "")
    b.choose("select[aria-label=State]", "failed")
    b.says("1,000 of 10,000")
    # What has no news changes nothing.
    b.wait("scores", lambda: "0.500" in b.find(".vspace .vrow", "adapter-09990").text())
    b.script("""
        window.changes = 0;
        new MutationObserver(list => { window.changes += list.length; }).observe(
          document.querySelector(".vspace"), {childList: true, characterData: true, subtree: true});
        window.listings = 0;""")
    b.wait("three more listings", lambda: b.script("return window.listings") >= 3)
    assert b.script("return window.changes") == 0


run(test)
