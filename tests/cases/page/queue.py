"""Jobs, the machine, studies and the trash by clicking. queue.py ROWS RESULTS: two jobs run, cells
of a study and a sweep have no rows yet."""
import json
import os
import sys
import urllib.request

from browser import run

URL = os.environ["URL"]
ROWS, RESULTS = sys.argv[1:3]


def call(method, path, body=None):
    request = urllib.request.Request(URL + path, method=method, data=body)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def state(name):
    return call("GET", f"/v1/adapters/{name}")["state"]


def jobs(b):
    b.open(f"{URL}/#/jobs")
    b.says("of 5,000 steps")
    b.click("button[aria-label='Pause long']")
    b.says("Paused")
    assert state("long") == "paused"
    b.click("button[aria-label='Resume long']")
    b.wait("it to go on", lambda: state("long") == "training")
    b.wait("a step", lambda: call("GET", "/v1/jobs")["jobs"][0]["step"] > 0)
    b.click("button[aria-label='Finish long']")
    b.wait("what was trained", lambda: state("long") == "ready")
    b.says("Ended")
    b.find("button[aria-label='Cancel longer']")


def machine(b):
    b.click("nav a", "Machine")
    b.says("Device memory")
    b.wait("tokens that are trained", lambda: b.script(
        "return [...document.querySelectorAll('.plot')][0].querySelectorAll('path.line')[2]"
        "?.getAttribute('d').length > 20"))
    for part in ("The base's weights", "Keys and values", "KV pages", "Adapter slots", "sequences"):
        b.says(part)
    # A page that is opened now shows what was before it.
    notes = call("GET", "/v1/rates")["notes"]
    assert notes and notes[-1]["prompt_tokens_total"] >= notes[0]["prompt_tokens_total"], notes
    b.open("about:blank")
    b.open(f"{URL}/#/machine")
    b.wait("the past", lambda: b.script(
        "return import('/page/store.js').then(({store}) => store.history[0]?.ms)")
        == notes[0]["ms"])
    free = b.find(".stack-bar[aria-label^='KV pages']").attribute("aria-label")
    assert "Free" in free, free


def cancelled(b):
    b.click("nav a", "Jobs")
    b.click("button[aria-label='Cancel longer']")
    b.wait("its end", lambda: state("longer") == "empty")
    b.find("button[aria-label='Retry longer']")


def studies(b):
    b.click("nav a", "Studies")
    b.says("0 of 4 cells ready")
    rows = open(ROWS, "rb").read()
    cells = [f"small.{task}.{variant}" for task in ("one", "two") for variant in ("r4", "r8")]
    for name in cells + ["swept"]:
        call("PUT", f"/v1/adapters/{name}/files/dataset.jsonl?train=1", rows)
    # Each cell as it comes, without the page being opened anew.
    b.wait("the matrix", lambda: b.script(
        "return document.querySelectorAll('.study td[class^=lift]').length") == 4, seconds=60)
    b.says("4 of 4 cells ready")
    b.says("the best")
    b.give("input[aria-label=\"A study's file\"]", RESULTS)
    b.says("mean lift")
    b.wait("its cells", lambda: b.script(
        "return document.querySelectorAll('.study td[class^=lift]').length") > 40)
    b.click(".study a", "1.000")
    b.says("serves v1")


def trash(b):
    b.open(f"{URL}/#/adapters")
    b.click("input[aria-label='Select long']")
    b.click("input[aria-label='Select longer']")
    b.says("2 adapters selected")
    b.click(".bulk button", "Remove")
    b.wait("both gone", lambda: len(call("GET", "/v1/trash")["trash"]) == 2)
    b.click("a", "Trash")
    b.click("tbody tr button", "Restore")
    b.wait("one back", lambda: len(call("GET", "/v1/trash")["trash"]) == 1)
    b.click("tbody tr button", "Throw away")
    b.says("cannot be brought back")
    b.click("dialog button", "Throw away")
    b.says("The trash is empty")


def test(b):
    for step in (jobs, machine, cancelled, studies, trash):
        step(b)


run(test)
