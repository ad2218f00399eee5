"""A list of ten thousand. What /v1/tree would answer is made in the browser."""
import os

from browser import run

URL = os.environ["URL"]
MANY = """
  const adapters = Array.from({length: 10000}, (_, i) => ({
    name: "adapter-" + String(i).padStart(5, "0"), base: "base", created_ms: 1, changed_ms: i + 1,
    state: i % 10 ? "ready" : "failed", current: 1 + i % 7, versions: [1],
    ...(i % 4 ? {metric: "accuracy", score: i / 10000, base_score: 0.75} : {}),
    files: {"loss.svg": [10, 1]}}));
  adapters[7].changed_ms = Date.now() - 7200e3;
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
    return Promise.resolve(new Response('<path class="smooth" d="M1 1L2 2"/>'));
  };
"""


def rows(b):
    return b.script("return document.querySelectorAll('.vspace .vrow').length")


def first(b, name):
    """The row is the first in sight."""
    b.wait(name, lambda: b.script("""
        const table = document.querySelector(".vtable"), head = document.querySelector(".vhead");
        const top = table.getBoundingClientRect().top + head.offsetHeight;
        const near = [...table.querySelectorAll(".vspace .vrow")].filter(r =>
          Math.abs(r.getBoundingClientRect().top - top) < 30);
        return near.some(r => r.textContent.includes(arguments[0]));
        """, name))


def sorted_by(b):
    return b.script("return [...document.querySelectorAll('[aria-sort]')].map(c =>"
                    " [c.textContent.split(',')[0], c.getAttribute('aria-sort')])")


def sort(b, column, direction):
    """Pressed once more, a head turns the order."""
    b.click(".vhead button", column)
    assert sorted_by(b) == [[column, direction]], sorted_by(b)


def test(b):
    b.devtools("Page.addScriptToEvaluateOnNewDocument", {"source": MANY})
    b.open(f"{URL}/")
    b.says("10,000 adapters")
    first(b, "adapter-00000")
    assert rows(b) < 60, rows(b)
    b.find(".vspace .spark")
    assert "0.001" in b.find(".vspace .vrow", "adapter-00010").text()
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

    sort(b, "Changed", "descending")
    first(b, "adapter-00007")
    sort(b, "Changed", "ascending")
    first(b, "adapter-00000")
    sort(b, "Score", "descending")
    first(b, "adapter-09999")
    sort(b, "Score", "ascending")
    first(b, "adapter-00001")
    b.script("document.querySelector('.vtable').scrollTop = 1e9")  # those without one are last
    b.find(".vspace .vrow", "adapter-09996")
    sort(b, "State", "ascending")
    first(b, "adapter-00001")

    b.type(".search", "00042")
    b.says("1 of 10,000 adapters")
    first(b, "adapter-00042")
    b.type(".search", "")
    for label, value, n in (("Score", "better", "1,875"), ("Score", "worse", "5,625"),
                            ("Score", "none", "2,500"), ("Changed", "24", "1"),
                            ("State", "failed", "1,000")):
        b.choose(f"select[aria-label={label}]", value)
        b.says(f"{n} of 10,000")
        b.choose(f"select[aria-label={label}]", "")
    b.choose("select[aria-label=State]", "failed")
    # How it was looked at stays.
    b.click("#nav a", "Jobs")
    b.click("#nav a", "Adapters")
    b.says("1,000 of 10,000")
    assert sorted_by(b) == [["State", "ascending"]], sorted_by(b)
    # A phone has a list of what it may be sorted by.
    b.size(390, 800)
    b.choose("select[aria-label=Sort]", "name true")
    first(b, "adapter-09990")
    b.size(1280, 860)
    assert sorted_by(b) == [["Name", "descending"]], sorted_by(b)
    # What has no news changes nothing.
    b.wait("curves", lambda: b.script(
        "return document.querySelectorAll('.vspace .vrow:not(:has(.spark))').length") == 0)
    b.script("""
        window.changes = 0;
        new MutationObserver(list => { window.changes += list.length; }).observe(
          document.querySelector(".vspace"), {childList: true, characterData: true, subtree: true});
        window.listings = 0;""")
    b.wait("three more listings", lambda: b.script("return window.listings") >= 3)
    assert b.script("return window.changes") == 0


run(test)
