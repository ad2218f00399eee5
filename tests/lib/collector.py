#!/usr/bin/env python3
"""A collector of traces: collector.py FILE PORT_FILE. Answers the first post with 503, as a busy
one does; of all others the headers and the spans, each with its resource, are lines of FILE. The
port is written when it listens."""
import http.server
import json
import os
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posts += 1
        if self.server.posts == 1:
            self.send_error(503)
            return
        lines = []
        for part in body["resourceSpans"]:
            resource = {a["key"]: a["value"] for a in part["resource"]["attributes"]}
            for scope in part["scopeSpans"]:
                lines += [{"path": self.path, "type": self.headers["Content-Type"],
                           "authorization": self.headers["Authorization"],
                           "resource": resource, "span": s} for s in scope["spans"]]
        with open(sys.argv[1], "a", encoding="utf-8") as out:
            out.writelines(json.dumps(line) + "\n" for line in lines)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


def main():
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.posts = 0
    with open(sys.argv[2] + ".new", "w", encoding="utf-8") as out:
        out.write(str(server.server_port))
    os.rename(sys.argv[2] + ".new", sys.argv[2])
    server.serve_forever()


if __name__ == "__main__":
    main()
