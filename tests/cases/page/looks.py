"""How every view looks and reads. looks.py ADAPTER FILE [FOLDER]: FILE is offered as its rows;
pictures of what is seen are kept in FOLDER."""
import os
import sys
from urllib.parse import quote

from browser import Failed, run

URL = os.environ["URL"]
NAME, FILE = sys.argv[1:3]
FOLDER = sys.argv[3] if len(sys.argv) > 3 else None
PROMPT = os.environ.get("LOOKS_PROMPT", "Item 3 is")
LOOKS = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "looks.js"),
             encoding="utf-8").read()
MODES = {"light": (1280, 800, "light"), "dark": (1280, 800, "dark"), "phone": (390, 800, "light")}


def drawn(b, css):
    b.wait(css, lambda: b.script("return document.querySelectorAll(arguments[0]).length", css))


def offer_rows(b):
    b.give(".drop input[type=file]", FILE)
    drawn(b, ".samples li")


def talk(b):
    b.click(".choice button", "Prompt")
    b.type("textarea[aria-label=Message]", PROMPT)
    b.click("button", "Send")
    b.wait("answers", lambda: b.script(
        "const all = [...document.querySelectorAll('.answer')];"
        "return all.length === 2 && all.every(a => !a.classList.contains('busy'))"), seconds=60)


def ask_examples(b):
    b.click("button", "Ask all of them")
    b.wait("answers", lambda: b.script(
        "return [...document.querySelectorAll('.example')].every(e =>"
        " e.querySelectorAll('.example-answer small').length === 2"
        " && [...e.querySelectorAll('.example-answer small')].every(s => s.textContent))"),
        seconds=90)


def compare_versions(b):
    drawn(b, ".score-cell .score-bar")
    b.click("input[aria-label='Compare v1']")
    b.click("input[aria-label='Compare v2']")
    drawn(b, ".diff h2")


# (name, address, what is waited for or done)
ONE = f"#/adapters/{quote(NAME)}"
VIEWS = [
    ("adapters", "#/adapters", lambda b: drawn(b, ".vspace .score-bar")),
    ("curves", ONE, lambda b: drawn(b, ".plot .dot")),
    ("data", f"{ONE}/data", offer_rows),
    ("settings", f"{ONE}/settings", lambda b: drawn(b, ".settings .field")),
    ("versions", f"{ONE}/versions", compare_versions),
    ("examples", f"{ONE}/examples", ask_examples),
    ("confusion", f"{ONE}/confusion", lambda b: drawn(b, ".part h3, .part h2")),
    ("log", f"{ONE}/log", lambda b: drawn(b, ".log li")),
    ("chat", f"#/chat?with={quote(NAME)},base", talk),
    ("jobs", "#/jobs", lambda b: drawn(b, ".job")),
    ("studies", "#/studies", lambda b: drawn(b, ".study td[class^=lift]")),
    ("machine", "#/machine", lambda b: drawn(b, ".plot path.line[d^=M]")),
    ("trash", "#/trash", lambda b: drawn(b, "tbody tr")),
]


def check(b, view):
    """What is wrong in each mode."""
    for mode, (width, height, scheme) in MODES.items():
        b.size(width, height)
        b.devtools("Emulation.setEmulatedMedia",
                   {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        # Sizes are told in the frame after, transitions of bars are not waited for.
        b.script("return new Promise(done => requestAnimationFrame(() =>"
                 " requestAnimationFrame(() => done(true))))")
        problems = b.script(LOOKS)
        if FOLDER:
            b.picture(os.path.join(FOLDER, f"{view}-{mode}.png"))
        yield from (f"{view}, {mode}: {problem}" for problem in problems)


def tab_through(b):
    """Tab goes through the controls in their order in the document, and each shows it."""
    b.size(*MODES["light"][:2])
    b.open("about:blank")
    b.open(f"{URL}/#/adapters")
    drawn(b, ".vspace .score-bar")
    seen = []
    for _ in range(30):
        b.press("Tab")
        at = b.script("""
            const e = document.activeElement, style = getComputedStyle(e);
            const all = [...document.querySelectorAll("*")];
            return [all.indexOf(e), e.getAttribute("aria-label") ?? e.textContent.slice(0, 30),
                    parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== "none",
                    e.getBoundingClientRect().width > 0]""")
        if at[1].startswith("Skip") and seen or at[0] < 10 and seen:
            break
        assert at[2] and at[3], f"the focus on {at[1]} is not to be seen"
        assert not seen or at[0] > seen[-1][0], f"{at[1]} comes after {seen[-1][1]}"
        seen.append(at)
    names = [name for _, name, _, _ in seen]
    assert names[0].startswith("Skip") and "Find an adapter" in names, names
    assert any(NAME == name for name in names), names


def test(b):
    problems = []
    for view, address, ready in VIEWS:
        b.size(*MODES["light"][:2])
        b.open(f"{URL}/{address}")
        ready(b)
        problems += check(b, view)
    b.size(*MODES["light"][:2])
    b.open(f"{URL}/#/adapters")
    b.click("button", "New adapter")
    problems += check(b, "dialog")
    if problems:
        raise Failed("\n".join(problems))
    tab_through(b)


run(test)
