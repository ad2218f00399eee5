"""A hub for tests: Hugging Face's listing, resolve and upload routes over the folders below a
directory.

hub_server.py ROOT PORTFILE [OPTION...]: repositories are ROOT/<org>/<name>. Large files
(*.safetensors) redirect to another host, as the real hub does: its name is localhost, the hub's
127.0.0.1. Requests are logged on stdout: method, path, range, "token" where one came.
--token T  only who sends it is answered
--cut N    the first request for each large file is closed after N bytes: a client has to resume
--stall N  every request for a large file stands still after N bytes, until the client goes
--wrong F  a file of that name comes with one byte that is not what the listing's digest says
--fail N   the first N requests for each file are answered 503
--whole    ranges are ignored
--bare     the listing has no digests
--endless F  a file of that name goes on without end
"""

import argparse
import base64
import hashlib
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ap = argparse.ArgumentParser()
ap.add_argument("root")
ap.add_argument("portfile")
ap.add_argument("--token", default="")
ap.add_argument("--cut", type=int, default=0)
ap.add_argument("--stall", type=int, default=0)
ap.add_argument("--wrong", default="")
ap.add_argument("--fail", type=int, default=0)
ap.add_argument("--whole", action="store_true")
ap.add_argument("--bare", action="store_true")
ap.add_argument("--endless", default="")
args = ap.parse_args()
SHA = "0123456789abcdef0123456789abcdef01234567"
cut = set()
failed = {}


def digests(path):
    data = open(path, "rb").read()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return len(data), blob, hashlib.sha256(data).hexdigest()


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def listing(self, org, name):
        folder = os.path.join(args.root, org, name)
        if not os.path.isdir(folder):
            return self.answer(404)
        files = []
        for f in sorted(os.listdir(folder)):
            size, blob, sha = digests(os.path.join(folder, f))
            entry = {"rfilename": f, "size": size, "blobId": blob}
            if args.bare:
                del entry["blobId"]
            elif f.endswith(".safetensors"):
                entry["lfs"] = {"sha256": sha, "size": size}
            files.append(entry)
        files.append({"rfilename": "pytorch_model.bin", "size": 1 << 40, "blobId": "0" * 40})
        self.answer(200, json.dumps({"sha": SHA, "siblings": files}).encode())

    def a_part(self, body, n, want, headers):
        """The head of the whole answer, then n bytes of it; afterwards the connection is closed."""
        self.send_response(206 if want else 200)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:n])
        self.wfile.flush()
        self.close_connection = True

    def content(self, path):
        failed[path] = failed.get(path, 0) + 1
        if failed[path] <= args.fail:
            return self.answer(503)
        data = open(path, "rb").read()
        if os.path.basename(path) == args.wrong:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if os.path.basename(path) == args.endless:
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            while True:  # until the client goes
                self.wfile.write(data or b"x")
        start = 0
        want = None if args.whole else self.headers.get("Range")
        if want:
            start = int(want.split("=")[1].split("-")[0])
            if start >= len(data):
                return self.answer(416)
        body = data[start:]
        headers = (
            [("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))]
            if want
            else []
        )
        large = path.endswith(".safetensors")
        if large and args.cut and path not in cut and len(body) > args.cut:
            cut.add(path)
            return self.a_part(body, args.cut, want, headers)
        if large and args.stall and len(body) > args.stall:
            self.a_part(body, args.stall, want, headers)
            return self.connection.recv(1)
        return self.answer(206 if want else 200, body, headers)

    def log_request_line(self):
        auth = self.headers.get("Authorization", "")
        line = (self.command, self.path, self.headers.get("Range", "-"), "token" if auth else "-")
        os.write(1, (" ".join(line) + "\n").encode())  # whole, whatever other threads write
        return auth

    def said(self, status, answer):
        self.answer(status, json.dumps(answer).encode())

    def object_path(self, oid):
        folder = os.path.join(args.root, ".objects")
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, oid)

    def create(self, want):
        folder = os.path.join(args.root, want["organization"], want["name"])
        if os.path.isdir(folder):
            return self.said(409, {"error": "You already created this model repo"})
        os.makedirs(folder)
        self.said(200, {"url": folder})

    def batch(self, want):
        objects = []
        for o in want["objects"]:
            entry = dict(o)
            if not os.path.isfile(self.object_path(o["oid"])):
                host = self.headers["Host"]
                entry["actions"] = {
                    "upload": {"href": storage + "upload/" + o["oid"], "header": {"X-Signed": "1"}},
                    "verify": {"href": "http://%s/verify" % host},
                }
            objects.append(entry)
        self.said(200, {"transfer": "basic", "objects": objects})

    def commit(self, folder, lines):
        for line in map(json.loads, lines):
            value = line["value"]
            if line["key"] == "file":
                data = base64.b64decode(value["content"], validate=True)
            elif line["key"] == "lfsFile":
                data = open(self.object_path(value["oid"]), "rb").read()
                assert len(data) == value["size"]
            else:
                continue
            open(os.path.join(folder, value["path"]), "wb").write(data)
        self.said(200, {"success": True, "commitOid": SHA})

    def do_POST(self):
        auth = self.log_request_line()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = self.path[1:].split("/")
        if args.token and auth != "Bearer " + args.token:
            return self.said(401, {"error": "Invalid username or password."})
        if self.path == "/api/repos/create":
            return self.create(json.loads(body))
        if self.path == "/verify":
            want = json.loads(body)
            there = os.path.getsize(self.object_path(want["oid"])) == want["size"]
            return self.said(200 if there else 404, {})
        if self.path.endswith(".git/info/lfs/objects/batch"):
            return self.batch(json.loads(body))
        folder = os.path.join(args.root, *parts[2:4])
        if parts[:2] == ["api", "models"] and not os.path.isdir(folder):
            return self.said(404, {"error": "Repository not found"})
        if parts[4:] == ["preupload", "main"]:
            files = json.loads(body)["files"]
            for f in files:
                f["uploadMode"] = "lfs" if f["path"].endswith(".safetensors") else "regular"
            return self.said(200, {"files": files})
        if parts[4:] == ["commit", "main"]:
            return self.commit(folder, body.splitlines())
        self.answer(404)

    def do_PUT(self):
        """The storage: it signs its addresses, and gets no token."""
        auth = self.log_request_line()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        oid = self.path.split("/")[-1]
        failed[oid] = failed.get(oid, 0) + 1
        if failed[oid] <= args.fail:
            return self.answer(503)
        right = hashlib.sha256(body).hexdigest() == oid and self.headers["X-Signed"] == "1"
        if auth or not right:
            return self.answer(403)
        open(self.object_path(oid), "wb").write(body)
        self.answer(200)

    def do_GET(self):
        path = self.path.split("?")[0]
        auth = self.log_request_line()
        parts = path[1:].split("/")
        if args.token and parts[0] != "storage" and auth != "Bearer " + args.token:
            return self.answer(401)
        if parts[:2] == ["api", "models"] and len(parts) == 6:
            return self.listing(parts[2], parts[3])
        if len(parts) == 5 and parts[2] == "resolve" and parts[3] == SHA:
            f = os.path.join(args.root, parts[0], parts[1], parts[4])
            if not os.path.isfile(f):
                return self.answer(404)
            if f.endswith(".safetensors"):
                return self.answer(
                    302,
                    headers=[("Location", storage + "/".join((parts[0], parts[1], parts[4])))],
                )
            return self.content(f)
        if parts[0] == "storage":
            return self.content(os.path.join(args.root, *parts[1:]))
        return self.answer(404)


server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
storage = "http://localhost:%d/storage/" % server.server_address[1]
with open(args.portfile + ".tmp", "w") as f:
    f.write(str(server.server_address[1]))
os.rename(args.portfile + ".tmp", args.portfile)
server.serve_forever()
