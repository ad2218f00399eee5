"""An adapter's life by clicking. WORK has red.jsonl, blue.jsonl, eval.jsonl and wrong.jsonl."""
import os

from browser import run

URL, WORK = os.environ["URL"], os.environ["WORK"]


def setting(b, name, value):
    css = f".settings [name={name}]"
    if b.find(css).attribute("type") == "text":
        b.type(css, value)
    else:
        b.choose(css, value)


def offer(b, file, kind):
    b.click("nav.tabs a", "Data")
    b.click(".choice button", kind)
    b.give(".drop input[type=file]", f"{WORK}/{file}")


def offer_by_dropping(b, file, kind):
    b.click("nav.tabs a", "Data")
    b.click(".choice button", kind)
    b.drop(".drop", f"{WORK}/{file}")


def trained(b, version):
    b.wait(f"v{version}", lambda: f"serves v{version}" in b.script(
        "return document.querySelector('.view-head')?.innerText ?? ''"), seconds=120)


def first_adapter(b):
    b.open(f"{URL}/")
    b.says("No adapters yet")
    b.click("button", "New adapter")
    b.type("dialog input[name=name]", "a/b")
    b.click("dialog button", "Create")  # the browser says what a name may be
    b.type("dialog input[name=name]", "red")
    b.click("dialog button", "Create")
    b.says("Drop a file of rows here")


def wrong_rows(b):
    offer(b, "wrong.jsonl", "Training rows")
    b.says("2 rows are wrong")
    b.says("line 4", ".faults")
    b.says("line 5", ".faults")
    b.find(".samples mark.learnt", "red")
    # What rows say is text, whatever it looks like.
    assert b.script("return document.querySelectorAll('.report img, .report b b').length") == 0
    b.says("<img src=x onerror=alert(1)>", ".samples")
    assert b.find("button", "Upload and train").attribute("disabled")


def settings(b):
    b.click("nav.tabs a", "Settings")
    b.type(".settings [name=rank]", "9999")
    b.click("button", "Save settings")
    b.says("rank", ".part > .error")
    assert b.find(".settings [name=rank]").attribute("aria-invalid") == "true"
    assert any("422" in t for t in b.troubles())
    for name, value in (("rank", "4"), ("steps", "12"), ("batch_size", "2"), ("max_length", "32"),
                        ("learning_rate", "0.003"), ("max_tokens", "8"), ("metric", "accuracy")):
        setting(b, name, value)
    b.says("7 set")
    b.click("button", "Save settings")
    b.says("The settings are saved")


def train(b):
    offer(b, "eval.jsonl", "Evaluation rows")
    b.says("4 rows", ".report")
    b.click("button", "Upload")
    b.says("Evaluation rows\n", ".cards")
    b.wait("the eval rows", lambda: "written" in b.find(".card", "Evaluation rows").text())
    offer(b, "red.jsonl", "Training rows")
    b.says("16 rows", ".report")
    b.click("button", "Upload and train")
    trained(b, 1)
    b.wait("a curve", lambda: b.script("return [...document.querySelectorAll('.plot path.line')]"
                                       ".some(p => p.getAttribute('d').length > 40)"))


def read_curves(b):
    x, y, w = b.script("const r = document.querySelector('.plot').getBoundingClientRect();"
                       "return [r.x, r.y + r.height / 2, r.width].map(Math.round)")
    b.hover(x + w // 2, y)
    b.says("v1:", ".tip")
    b.drag(x + w // 3, y, x + 2 * w // 3, y)
    b.click("button", "Whole range")
    b.click(".choice button", "Learning rate")
    b.click(".choice button", "Loss")


def versions(b):
    offer(b, "blue.jsonl", "Training rows")
    b.says("16 rows", ".report")
    b.click("nav.tabs a", "Settings")
    setting(b, "gate", "off")
    b.click("button", "Save settings")
    b.says("The settings are saved")
    offer_by_dropping(b, "blue.jsonl", "Training rows")
    b.says("16 rows", ".report")
    b.click("button", "Upload and train")
    trained(b, 2)
    b.click("nav.tabs a", "Versions")
    b.wait("scores", lambda: "accuracy" in b.find("tbody tr", "v1").text())
    b.click("input[aria-label='Compare v1']")
    b.click("input[aria-label='Compare v2']")
    b.says("rows' sha256", ".diff")
    b.says("gate", ".diff")
    b.click("button", "Serve v1")
    trained(b, 1)
    listed = "return document.querySelectorAll('tbody th[scope=row]').length"
    b.click("button", "Actions of v2")
    b.click(".menu button", "Remove")
    b.says("v2 of red is in the trash")
    b.wait("one version", lambda: b.script(listed) == 1)
    assert b.script("return document.querySelector('.diff h2')") is None
    b.click(".toast button", "Undo")
    b.says("v2 of red is back")
    b.wait("two versions", lambda: b.script(listed) == 2)
    b.wait("its scores", lambda: "accuracy" in b.find("tbody tr", "v2").text())


def answers(b):
    b.click("nav.tabs a", "Examples")
    b.click("button", "Ask all of them")
    b.wait("answers", lambda: b.script(
        "return document.querySelectorAll('.example.right').length") >= 3)
    b.click("nav.tabs a", "Confusion")
    b.says("Version 1", ".part")
    b.says("accuracy", ".part")
    b.click("nav.tabs a", "Log")
    b.says("rollback", ".log")


def rename_while_asked(b):
    """A listing that was asked for before the rename, and says something new, comes after it."""
    b.script("""
const real = window.fetch, late = new Promise(ok => { window.letGo = ok; });
window.fetch = async (path, options) => {
  const response = await real(path, options);
  if (path.endsWith("/rename")) window.renamed = true;
  if (path.startsWith("/v1/tree") && response.status === 200 && !window.held) {
    window.held = true;
    await late;
  }
  return response;
};
real("/v1/adapters/red-2/files/config.json", {method: "PUT", body: "no JSON"});
""")
    b.wait("a listing", lambda: b.script("return window.held"))
    assert any("422" in t for t in b.troubles())
    b.click(".view-head button", "Actions of red-2")
    b.click(".menu button", "Rename")
    b.type("dialog input[name=name]", "renamed")
    b.click("dialog button", "Rename")
    b.wait("the rename", lambda: b.script("return window.renamed"))
    b.script("window.letGo()")
    b.wait("the new name", lambda: "renamed" in b.find("h1").text())


def as_a_whole(b):
    b.click(".view-head button", "Actions of red")
    b.click(".menu button", "Clone")
    b.type("dialog input[name=name]", "red-2")
    b.click("dialog button", "Clone")
    b.wait("the clone", lambda: "red-2" in b.find("h1").text())
    trained(b, 1)
    rename_while_asked(b)
    b.click(".back")
    b.says("2 adapters")
    b.wait("a score", lambda: "0.750" in b.find(".vspace .vrow", "red").text())
    b.find(".vspace .spark")
    b.click("button", "Actions of red")
    b.click(".menu button", "Remove")
    b.says("red is in the trash")
    b.says("1 adapter")
    b.click(".toast button", "Undo")
    b.says("red is back")
    b.says("2 adapters")


def test(b):
    for step in (first_adapter, wrong_rows, settings, train, read_curves, versions, answers,
                 as_a_whole):
        step(b)


run(test)
