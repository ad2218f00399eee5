"""A conversation by clicking. The daemon has the adapters red, blue and endless."""
import os

from browser import run

URL = os.environ["URL"]


def say(b, text):
    b.type("textarea[aria-label=Message]", text)
    b.click("button", "Send")


def answered(b, n, words):
    """The columns of the last turn are whole, and their figures stand below them."""
    def look():
        texts = b.script(
            "return [...document.querySelectorAll('.turn:last-child .answer')].map(a =>"
            " a.classList.contains('busy') ? null : a.innerText)")
        return (len(texts) == n and all(texts) and all("tokens" in t for t in texts)
                and all(w in t for w, t in zip(words, texts)) and texts)
    return b.wait(f"{n} answers: {words}", look, seconds=30)


def one(b):
    b.open(f"{URL}/#/chat?with=red")
    b.click(".choice button", "Prompt")
    say(b, "Item 3 is")
    texts = answered(b, 1, ["red"])
    assert "tokens/s" in texts[0] or "tokens" in texts[0]


def several(b):
    b.click("button", "Compare with")
    b.choose("select[aria-label='Model 2']", "blue")
    b.click("button", "Compare with")
    b.choose("select[aria-label='Model 3']", "base")
    say(b, "Item 4 is")
    answered(b, 3, ["red", "blue", ""])
    b.click("button[aria-label='Remove column 3']")
    b.click(".turn:last-child .answer button", "Again")
    answered(b, 2, ["red", "blue"])


def edited(b):
    b.click(".turn:first-child button", "Edit")
    b.wait("the turns after it gone", lambda: b.script(
        "return document.querySelectorAll('.turn').length") == 0)
    assert b.script("return document.querySelector('.say textarea').value") == "Item 3 is"
    b.press_with("Shift", "Enter")  # a line's end, not the message's
    b.press("Enter")
    answered(b, 2, ["", ""])


def stopped(b):
    b.click("button", "Clear")
    b.choose("select[aria-label='Model 1']", "endless")
    b.click("summary", "Sampling")
    b.fill("max_tokens", "2000")
    say(b, "Item 5 is")
    b.wait("it to run", lambda: b.script(
        "return document.querySelector('.answer.busy .raw')?.textContent.length > 20"))
    b.click("button", "Stop all")
    b.says("stopped", ".turn:last-child")
    b.fill("max_tokens", "2")
    b.click(".turn:last-child .answer button", "Again")
    b.says("cut at max_tokens", ".turn:last-child")


def refused(b):
    b.fill("top_p", "7")
    say(b, "x")
    b.says("top_p", ".turn:last-child .error")
    assert all("400" in t for t in b.troubles())


MARKDOWN = """# Title
**bold** and *leaning*, `code <b>`, [a link](https://example.org/x), [bad](javascript:alert(1))

* one
* two
  1. inner

> said

| a | b |
|---|---|
| 1 | <img src=x onerror=alert(2)> |

```js
alert("3 </script>")
```
<script>alert(4)</script>"""


def marked_down(b):
    """The module alone: what is known becomes elements, all else stays text."""
    b.script("""
      window.made = null;
      import("/page/markdown.js").then(({markdown}) => {
        const box = document.createElement("div");
        box.append(...markdown(arguments[0]));
        window.made = box;
      });""", MARKDOWN)
    b.wait("the elements", lambda: b.script("return window.made !== null"))
    count = lambda css: b.script("return window.made.querySelectorAll(arguments[0]).length", css)
    for css, n in (("h3", 1), ("strong", 1), ("em", 1), ("p > code", 1), ("ul > li", 2),
                   ("ul ol > li", 1), ("blockquote", 1), ("td", 2), ("pre", 1), ("a", 1),
                   ("script, img, b", 0), ("a[href^='https://example.org']", 1)):
        assert count(css) == n, (css, count(css))
    text = b.script("return window.made.textContent")
    for part in ("<img src=x onerror=alert(2)>", "<script>alert(4)</script>", "code <b>",
                 "javascript:alert(1)", 'alert("3 </script>")'):
        assert part in text, part


def test(b):
    for step in (one, several, edited, stopped, refused, marked_down):
        step(b)


run(test)
