"""Every route of /openapi.json, asked with keys of every role. URL: the daemon, with an adapter
`other`; walk.py GENERATE TRAIN ADMIN GRANTED: keys; GRANTED is for `mine-*` alone."""
import http.client
import json
import os
import sys
from urllib.parse import urlparse

from asking import expect

address = urlparse(os.environ["URL"])
ROLES = ["open", "generate", "train", "admin"]
VALUES = {"{name}": "nothing", "{path}": "config.json", "{id}": "999999",
          "{file}": "app.js"}


def ask(method, path, key=None):
    for name, value in VALUES.items():
        path = path.replace(name, value)
    c = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    c.request(method, path, "{}" if method in ("POST", "PUT") else None, headers)
    status = c.getresponse().status
    c.close()
    return status


c = http.client.HTTPConnection(address.hostname, address.port)
c.request("GET", "/openapi.json")
document = json.loads(c.getresponse().read())
keys = dict(zip(ROLES[1:], sys.argv[1:4]))
granted = sys.argv[4]
walked = 0
for path, methods in document["paths"].items():
    for method, operation in methods.items():
        method, role = method.upper(), operation["x-role"]
        what = f"{method} {path}, {role}"
        wanted = ROLES.index(role)
        bare, wrong = ask(method, path), ask(method, path, "lf_00000000_" + "0" * 64)
        expect((bare == 401) == (wanted > 0), f"{what} without a key: {bare}")
        expect((wrong == 401) == (wanted > 0), f"{what} with a wrong key: {wrong}")
        for name, key in keys.items():
            status = ask(method, path, key)
            refused = ROLES.index(name) < wanted
            if path.startswith("/v1/") and "_lora_adapter" in path and not refused:
                continue  # 403 of its own where the daemon does not load
            expect((status == 403) == refused and status != 401, f"{what} with {name}: {status}")
        if path.startswith("/v1/adapters/{name}"):
            status = ask(method, path, granted)
            expect(status == 403, f"{what} without a grant: {status}")
        walked += 1
expect(walked > 35, f"{walked} routes")
