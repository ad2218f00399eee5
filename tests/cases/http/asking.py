"""What the checks of answers share: URL is the daemon's."""
import json
import os
import urllib.error
import urllib.request


def expect(condition, text):
    if not condition:
        raise SystemExit(f"check failed: {text}")


def ask(path, **body):
    """(status, text) of the answer."""
    request = urllib.request.Request(os.environ["URL"] + path, json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request) as reply:
            return 200, reply.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def post(path, status=200, **body):
    """The text of the answer, whose status must be this one."""
    code, text = ask(path, **body)
    expect(code == status, f"{code} {text} for {body}")
    return text
