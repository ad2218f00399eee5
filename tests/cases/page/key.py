"""The login by clicking. key.py GENERATE TRAIN: keys; TRAIN is for `mine-*` alone."""
import os
import sys

from browser import run

URL = os.environ["URL"]
GENERATE, TRAIN = sys.argv[1:3]


def log_in(b, key):
    b.type("dialog input[name=key]", key)
    b.click("dialog button", "Log in")


def test(b):
    b.open(f"{URL}/")
    b.says("This daemon wants a key")
    assert b.find("dialog input[name=key]").attribute("type") == "password"
    log_in(b, "lf_00000000_" + "0" * 64)
    b.says("does not know this key", "dialog")
    log_in(b, GENERATE)
    b.says("This key may ask adapters, not see them")
    b.click(".nothing a", "Chat")
    b.wait("the models", lambda: b.script(
        "return document.querySelector('select[aria-label=\"Model 1\"]')?.options.length") == 3)
    b.click(".foot button", "API key")
    log_in(b, TRAIN)
    b.open(f"{URL}/#/adapters")
    b.says("1 adapter")
    b.find(".vspace a", "mine-1")
    b.call("POST", "/refresh", {})
    b.says("1 adapter")  # it is still known
    assert b.script("return localStorage.length + document.cookie.length") == 0
    b.troubles()  # the refusals, which were wanted


run(test)
