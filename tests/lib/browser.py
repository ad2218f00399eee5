"""A browser that is driven as a person drives it: Debian's chromium through its chromedriver, over
WebDriver's own HTTP. What waits, waits for a condition; a line in the browser's console of level
SEVERE fails whoever closes it."""
import base64
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
SLOWER = 12 if os.environ.get("SANITIZE") else 4
KEYS = {"Enter": "\ue007", "Tab": "\ue004", "Escape": "\ue00c", "ArrowDown": "\ue015",
        "ArrowUp": "\ue013", "End": "\ue010", "Home": "\ue011", "Shift": "\ue008",
        "Backspace": "\ue003"}


class Failed(Exception):
    pass


class Element:
    def __init__(self, browser, reference):
        self.browser, self.id = browser, reference[ELEMENT]

    def call(self, method, path, body=None):
        return self.browser.call(method, f"/element/{self.id}{path}", body)

    def click(self):
        self.call("POST", "/click", {})

    def type(self, text):
        """In place of what is there."""
        self.browser.script("arguments[0].select()", {ELEMENT: self.id})
        self.call("POST", "/value", {"text": text or KEYS["Backspace"]})

    def upload(self, path):
        self.call("POST", "/value", {"text": path})

    def text(self):
        return self.call("GET", "/text")

    def attribute(self, name):
        return self.call("GET", f"/attribute/{name}")


class Browser:
    """Browser(width, height, dark): a window of its own."""

    def __init__(self, width=1280, height=860, dark=False):
        driver = shutil.which("chromedriver")
        self.process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            found = re.search(r"successfully on port (\d+)", line)
            if found:
                break
        self.port = int(found.group(1))
        args = ["--headless=new", "--disable-dev-shm-usage", "--no-first-run", "--disable-gpu",
                "--hide-scrollbars", "--force-device-scale-factor=1", "--lang=en",
                f"--window-size={width},{height}"]
        if os.geteuid() == 0:
            args.append("--no-sandbox")
        if dark:
            args.append("--force-prefers-color-scheme=dark")
        self.session = ""
        made = self.request("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": args, "binary": shutil.which("chromium")}}}})
        self.session = f"/session/{made['sessionId']}"
        self.size(width, height)
        if dark:
            self.devtools("Emulation.setEmulatedMedia",
                          {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})

    def request(self, method, path, body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        c.request(method, path, json.dumps(body or {}) if method == "POST" else None)
        answer = json.loads(c.getresponse().read())["value"]
        c.close()
        if isinstance(answer, dict) and "error" in answer:
            raise Failed(f"{answer['error']}: {answer['message'].splitlines()[0]}")
        return answer

    def call(self, method, path, body=None):
        return self.request(method, self.session + path, body)

    def devtools(self, command, params):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def size(self, width, height):
        self.devtools("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def script(self, text, *args):
        return self.call("POST", "/execute/sync", {"script": text, "args": list(args)})

    def wait(self, what, fn, seconds=15):
        """What fn gives once that is something; what is for the reason."""
        end, last = time.monotonic() + seconds * SLOWER, None
        while time.monotonic() < end:
            try:
                value = fn()
                if value:
                    return value
            except Failed as error:
                last = error
            time.sleep(0.03)
        page = self.script("return document.body.innerText")
        raise Failed(f"waited for {what} ({last}); the page says:\n{page[:3000]}")

    def find(self, css, text=None):
        """The element in sight that a selector, and a part of its text or label, names."""
        def look():
            found = self.script(
                "const [css, text] = arguments;"
                "return [...document.querySelectorAll(css)].find(e => e.checkVisibility()"
                " && (text === null || e.textContent.includes(text)"
                " || (e.getAttribute('aria-label') ?? '').includes(text)))", css, text)
            return Element(self, found) if found else None
        return self.wait(f"{css} {text or ''}", look)

    def click(self, css, text=None):
        # A click that came while the page changed under it is made again.
        self.wait(f"a click on {css} {text or ''}",
                  lambda: self.find(css, text).click() or True)

    def type(self, css, text):
        self.find(css).type(text)

    def fill(self, label, text):
        """The field in sight that is labelled so."""
        Element(self, self.wait(f"a field {label}", lambda: self.script(
            "return [...document.querySelectorAll('input, textarea, select')].find(e =>"
            " e.checkVisibility() && [...e.labels].some(l => l.textContent === arguments[0]))",
            label))).type(text)

    def choose(self, css, value):
        """Of a select."""
        Element(self, self.script("return [...document.querySelector(arguments[0]).options]"
                                  ".find(o => o.value === arguments[1])", css, value)).click()

    def give(self, css, path):
        """A file to an input that takes one."""
        found = self.wait(css, lambda: self.script(
            "const i = document.querySelector(arguments[0]); i.value = ''; return i", css))
        Element(self, found).upload(path)

    def press(self, *keys):
        actions = [{"type": kind, "value": KEYS.get(k, k)}
                   for k in keys for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": actions}]})

    def press_with(self, held, key):
        keys = (("keyDown", held), ("keyDown", key), ("keyUp", key), ("keyUp", held))
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": [
            {"type": kind, "value": KEYS[name]} for kind, name in keys]}]})

    def drag(self, x0, y0, x1, y1):
        move = {"type": "pointerMove", "duration": 0, "origin": "viewport"}
        self.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "m", "actions": [
            {**move, "x": x0, "y": y0}, {"type": "pointerDown", "button": 0},
            {**move, "x": (x0 + x1) // 2, "y": y1}, {**move, "x": x1, "y": y1},
            {"type": "pointerUp", "button": 0}]}]})

    def drop(self, css, path):
        """A file that is dragged from the desktop onto an element."""
        x, y = self.wait(css, lambda: self.script(
            "const e = document.querySelector(arguments[0]); e.scrollIntoView({block: 'center'});"
            "const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2].map(Math.round)", css))
        for event in ("dragEnter", "dragOver", "drop"):
            self.devtools("Input.dispatchDragEvent", {
                "type": event, "x": x, "y": y,
                "data": {"items": [], "files": [path], "dragOperationsMask": 1}})

    def hover(self, x, y):
        self.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "m", "actions": [
            {"type": "pointerMove", "duration": 0, "origin": "viewport", "x": x, "y": y}]}]})

    def says(self, text, css="body"):
        self.wait(f"'{text}'", lambda: text in self.script(
            "return document.querySelector(arguments[0])?.innerText ?? ''", css))

    def picture(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.call("GET", "/screenshot")))

    def troubles(self):
        """What the console has had of level SEVERE since the last look."""
        lines = self.call("POST", "/se/log", {"type": "browser"})
        return [line["message"] for line in lines if line["level"] == "SEVERE"]

    def close(self):
        try:
            self.request("DELETE", self.session)
        finally:
            self.process.terminate()
            self.process.wait()


def run(test, **window):
    """Calls test(browser); says what went wrong, and exits with it."""
    browser = Browser(**window)
    try:
        test(browser)
        troubles = browser.troubles()
        if troubles:
            raise Failed("\n".join(troubles))
    except Exception:
        browser.picture(os.path.join(os.environ.get("WORK", "/tmp"), "failed.png"))
        print("\n".join(browser.troubles()), file=sys.stderr)
        raise
    finally:
        browser.close()
