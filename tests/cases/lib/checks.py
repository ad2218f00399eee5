"""Assertions of the end-to-end cases: `checks.py NAME ARGS...`, exit status 0 when they hold.

The shell mounts, orders and skips; what needs exact times, errno values or several descriptors at
once is asserted here. A function of this file is a check; its arguments are strings.
"""
import csv
import errno
import http.client
import inspect
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

# Sanitizers make everything slower; a limit in seconds is stretched for them.
SLOWER = 6 if os.environ.get("SANITIZE") else 1


def expect(condition, text):
    if not condition:
        raise SystemExit(f"check failed: {text}")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("lorafs", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def call(sock, method, path, body=None):
    """One HTTP call; (status, bytes)."""
    c = UnixConnection(sock)
    c.request(method, path, body)
    r = c.getresponse()
    return r.status, r.read()


def answers(sock, pid):
    """The daemon says that it is well, some time; it does not end meanwhile."""
    end = time.monotonic() + 240 * SLOWER
    while time.monotonic() < end:
        try:
            if call(sock, "GET", "/health")[0] == 200:
                return
        except OSError:
            pass
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            expect(f.read().split()[2] != "Z", "the daemon has ended")
        time.sleep(0.05)
    raise SystemExit("check failed: the daemon does not answer")


def adapters(sock, n):
    """Makes n adapters, a0000 on, past the mount."""
    def some(first):
        c = UnixConnection(sock)
        got = []
        for i in range(first, int(n), 8):
            c.request("POST", "/v1/adapters", json.dumps({"name": f"a{i:04}"}),
                      {"Content-Type": "application/json"})
            r = c.getresponse()
            r.read()
            got.append(r.status)
        return got
    with ThreadPoolExecutor(8) as pool:
        statuses = sum(pool.map(some, range(8)), [])
    expect(statuses == [201] * int(n), f"not all were made: {statuses}")


def crowd(model, n, rounds):
    """n writers, of a prompt each, and n readers of all; then n writers of the same prompt. A
    prompt has its number at both ends, so that a piece of one shows. Where several have one file
    open, what is longer may stand behind what came last, as in any file system."""
    n, rounds = int(n), int(rounds)
    names = sorted(os.listdir(model))
    expect(len(names) >= n, f"{len(names)} adapters")

    def path(i):
        return f"{model}/{names[i % n]}/prompt"

    def text(writer, i):
        return f"{writer}:{i}:".encode() + b"x" * (writer * 37 % 5000) + f":{writer}:{i}".encode()

    def write(writer, to):
        for i in range(rounds):
            with open(path(to), "wb") as f:
                f.write(text(writer, i))

    def read(reader):
        for i in range(rounds):
            try:
                with open(path(reader * 7 + i), "rb") as f:
                    got = f.read()
            except FileNotFoundError:
                continue
            if got:
                writer, number = got.split(b":")[:2]
                expect(got == text(int(writer), int(number)), f"{got[:40]}... is a piece")
            os.listdir(os.path.dirname(path(reader)))

    def run(jobs):
        with ThreadPoolExecutor(2 * n) as pool:
            for job in [pool.submit(*job) for job in jobs]:
                job.result(timeout=300 * SLOWER)

    run([(write, w, w) for w in range(n)] + [(read, r) for r in range(n)])
    for w in range(n):
        with open(path(w), "rb") as f:
            expect(f.read() == text(w, rounds - 1), f"{names[w]}: not what was written last")
    run([(write, w, 0) for w in range(n)])
    with open(path(0), "rb") as f:
        got = f.read()
    last = [text(w, rounds - 1) for w in range(n)]
    expect(any(got.startswith(a) and got[len(a):] in [b[len(a):] for b in last] for a in last),
           f"{len(got)} bytes, {got[:20]}...{got[-20:]}: not of its last writers")


def replaced_under_a_reader(sock, path, old, new):
    """A reader goes on with what it began with; who opens the file after it has the new bytes. Of
    what a writer has not closed, readers see nothing."""
    with open(old, "rb") as f, open(new, "rb") as g:
        old, new = f.read(), g.read()
    url = "/v1/adapters/{}/files/{}".format(*path.split("/")[-2:])

    def begin():
        f = open(path, "rb", buffering=0)
        expect(f.read(5000) == old[:5000], "not the old bytes")
        return f

    def rest(f):
        with f:
            return b"".join(iter(lambda: f.read(8192), b""))

    def whole():
        with open(path, "rb") as f:
            return f.read()

    reader = begin()
    expect(call(sock, "PUT", url, new)[0] == 200, "the file is not taken")
    expect(whole() == new, "opened afterwards: not the new bytes")
    expect(rest(reader) == old[5000:], "begun before: not the old bytes")
    expect(call(sock, "PUT", url, old)[0] == 200, "the file is not taken")
    reader, early = begin(), open(path, "rb", buffering=0)
    with open(path, "wb") as w:
        w.write(new[:len(new) // 2])
        w.flush()
        expect(whole() == old, "half of what is being written is read")
        expect(rest(reader) == old[5000:], "a writer's bytes reach who began before it")
        w.write(new[len(new) // 2:])
    expect(whole() == new, "written and closed: not the new bytes")
    expect(rest(early) == new, "opened before, read afterwards: not the new bytes")


def replaced_again_and_again(sock, path, one, other, rounds):
    """Readers beside a writer through the mount and one past it."""
    with open(one, "rb") as f, open(other, "rb") as g:
        texts = (f.read(), g.read())
    url = "/v1/adapters/{}/files/{}".format(*path.split("/")[-2:])
    over = []

    def write():
        for i in range(int(rounds)):
            if i % 3:
                expect(call(sock, "PUT", url, texts[i % 2])[0] == 200, "the file is not taken")
            else:
                with open(path, "wb") as f:
                    f.write(texts[i % 2])
        over.append(True)

    def read(piece):
        seen = 0
        while not over or not seen:
            with open(path, "rb", buffering=0) as f:
                got = b"".join(iter(lambda: f.read(piece), b""))
            expect(got in texts, f"{len(got)} bytes: neither of the two")
            seen += 1

    with ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(write)]
        jobs += [pool.submit(read, n) for n in (3000, 1 << 16, 1 << 20, 1 << 24)]
        for job in jobs:
            job.result(timeout=120 * SLOWER)


def absence(model, pid, rounds):
    """Calls to a mount without its daemon: each ends, with an error where it needs one, and the
    mount takes no more memory and descriptors for the last of them than for the first."""
    def took():
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            kb = next(int(line.split()[1]) for line in f if line.startswith("RssAnon"))
        return kb, len(os.listdir(f"/proc/{pid}/fd"))

    def fails(action, *args):
        try:
            action(*args)
        except OSError as e:
            return e.errno in (errno.ECONNREFUSED, errno.ETIMEDOUT, errno.EIO)
        return False

    def write(path):
        with open(path, "wb") as f:
            f.write(b"x" * 5000)

    def read(path):
        with open(path, "rb") as f:
            return f.read()

    def calls(n):
        task = f"{model}/task"
        for _ in range(n):
            expect(fails(write, f"{task}/prompt"), "a write is taken")
            expect(fails(read, f"{task}/settings"), "settings are read")
            expect(fails(os.mkdir, f"{model}/new"), "an adapter is made")
            expect(fails(os.rename, task, f"{model}/other"), "an adapter is renamed")

    rounds = int(rounds)
    calls(rounds // 10)  # what is kept for use again is there
    before = took()
    calls(rounds)
    after = took()
    expect(after[0] <= before[0] + 1024 and after[1] <= before[1] + 2,
           f"{before} kB and descriptors, then {after}")


# ---- Errors --------------------------------------------------------------------------------------

def expect_errno(name, action):
    try:
        action()
    except OSError as e:
        got = errno.errorcode[e.errno]
        expect(got == name, f"{got}, not {name}")
        return
    raise SystemExit(f"check failed: success, not {name}")


def write_errno(path, data, name):
    """Writing `data` in a new open(O_TRUNC) fails with `name` at close."""
    f = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(f, data.encode())
    expect_errno(name, lambda: os.close(f))


def open_errno(path, flags, name):
    """open(path, flags) fails with `name`; flags as "O_WRONLY|O_TRUNC"."""
    value = sum(getattr(os, word) for word in flags.split("|"))
    expect_errno(name, lambda: os.open(path, value))


def read_errno(path, name):
    """open for reading works, the first read fails with `name`."""
    f = os.open(path, os.O_RDONLY)
    expect_errno(name, lambda: os.read(f, 1))
    os.close(f)


RENAME_NOREPLACE, RENAME_EXCHANGE, AT_FDCWD = 1, 2, -100


def rename2_errno(old, new, flag, name):
    """renameat2(old, new, flag) fails with `name`."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    value = {"NOREPLACE": RENAME_NOREPLACE, "EXCHANGE": RENAME_EXCHANGE}[flag]
    rc = libc.renameat2(AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), value)
    got = "success" if rc == 0 else errno.errorcode[ctypes.get_errno()]
    expect(got == name, f"{got}, not {name}")


# ---- Writing as programs do ----------------------------------------------------------------------

def replace(source, path):
    """A temporary file beside it, fsync, os.replace."""
    tmp = os.path.join(os.path.dirname(path), ".w.tmp")
    with open(source, "rb") as f, open(tmp, "wb") as out:
        out.write(f.read())
        out.flush()
        os.fsync(out.fileno())
    os.replace(tmp, path)


def replace_before_close(source, path):
    """os.replace while the temporary file is open, and its last line is written afterwards."""
    with open(source, "rb") as f:
        lines = f.readlines()
    tmp = os.path.join(os.path.dirname(path), ".w.tmp")
    with open(tmp, "wb") as out:
        out.write(b"".join(lines[:-1]))
        out.flush()
        os.replace(tmp, path)
        out.write(lines[-1])


def append_shared(path, rows, writers):
    """Several O_APPEND writers at once: every line arrives whole."""
    fds = [os.open(path, os.O_WRONLY | os.O_APPEND) for _ in range(int(writers))]
    for i in range(int(rows)):
        for w, fd in enumerate(fds):
            os.write(fd, json.dumps({"prompt": f"{w} {i}", "completion": " x"}).encode() + b"\n")
    for fd in fds:
        os.close(fd)


def mapped(path, source):
    """The bytes, read through a mapping."""
    import mmap
    with open(path, "rb") as f, open(source, "rb") as g:
        with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            expect(m[:] == g.read(), "the mapping's bytes differ")


# ---- Streams -------------------------------------------------------------------------------------

def conversation(path, first, second):
    """A handle, two turns; each answer ends by itself. Prints them."""
    f = os.open(path, os.O_RDWR)
    answers_ = []
    for prompt in (first, second):
        os.write(f, prompt.encode() + b"\n")
        parts = []
        while part := os.read(f, 65536):
            parts.append(part)
        expect(os.read(f, 10) == b"", "more after the end")
        answers_.append(b"".join(parts))
    os.close(f)
    expect(all(answers_), "an empty answer")
    for a in answers_:
        print(a.decode(errors="replace"))


def text_mode(path, *prompts):
    """A file object that writes and reads, as Python people open it; prints every answer."""
    def turn(file, prompt, rewind):
        file.write(prompt)
        if rewind:
            file.flush()
            file.seek(0)
        answer = file.read()
        assert answer, (file.mode, prompt)
        return answer
    talks = []
    for mode, newline in (("r+", ""), ("r+", "\n"), ("w+", "\n"), ("r+b", b"\n")):
        for rewind in (False, True):
            with open(path, mode) as file:
                said = [p if isinstance(newline, str) else p.encode() for p in prompts]
                talk = [turn(file, p + newline, rewind) for p in said]
                talks.append([t if isinstance(t, str) else t.decode() for t in talk])
    assert all(t == talks[0] for t in talks), talks
    for answer in talks[0]:
        print(answer)


def nonblocking(path, prompt):
    """O_NONBLOCK: EAGAIN while there is nothing, poll says when there is."""
    f = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    os.write(f, prompt.encode())
    poll = select.poll()
    poll.register(f, select.POLLIN)
    polls, again, got = 0, 0, b""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            part = os.read(f, 4096)
        except BlockingIOError:
            again += 1
            polls += len(poll.poll(30000))
            continue
        if not part:
            break
        got += part
    os.close(f)
    expect(got, "no answer")
    expect(again > 0 and polls > 0, f"{again} times EAGAIN, {polls} times ready")


def interrupted(path, signal_name):
    """A reader of a stream dies of a signal at once, though the stream goes on for seconds."""
    p = subprocess.Popen(["cat", path], stdout=subprocess.PIPE)
    p.stdout.read(1)  # it has begun
    began = time.monotonic()
    p.send_signal(getattr(signal, signal_name))
    p.wait(30)
    took = time.monotonic() - began
    expect(p.returncode == -getattr(signal, signal_name), f"it ended with {p.returncode}")
    expect(took < 3 * SLOWER, f"it took {took:.2f} s to die")


def signal_with_handler(path):
    """A signal that has a handler does not cut the answer off."""
    whole = subprocess.run(["cat", path], stdout=subprocess.PIPE, check=True).stdout
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    f, got = os.open(path, os.O_RDONLY), b""
    while part := os.read(f, 4096):  # Python reads again after EINTR
        got += part
    signal.setitimer(signal.ITIMER_REAL, 0)
    os.close(f)
    expect(len(whole) > 300, f"{len(whole)} bytes do not take long enough")
    expect(got == whole, f"{len(got)} bytes, not {len(whole)}")


def blocked_readers(path, n, directory, limit_s):
    """n readers that wait do not keep a listing waiting, and go when they are told."""
    readers = [subprocess.Popen(["cat", path], stdout=subprocess.PIPE) for _ in range(int(n))]
    try:
        for p in readers:
            expect(p.stdout.read(1), "a reader got nothing")  # now it waits for more
        quickest(["ls", "-lR", directory], limit_s)
        waiting = sum(p.poll() is None for p in readers)
        expect(waiting == int(n), f"{waiting} of {n} readers wait")
    finally:
        for p in readers:
            p.terminate()
        began = time.monotonic()
        for p in readers:
            p.wait(30)
    took = time.monotonic() - began
    expect(took < 5 * SLOWER, f"the readers took {took:.2f} s to go")


# ---- Looking -------------------------------------------------------------------------------------

def quickest(command, limit_s):
    """Runs a command until it has once ended within the limit (others use the machine, too), for a
    minute at most; what it printed. Not a check: the first argument is a list."""
    best, end = float("inf"), time.monotonic() + 60
    while time.monotonic() < end:
        began = time.monotonic()
        out = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        best = min(best, time.monotonic() - began)
        if best < float(limit_s) * SLOWER:
            print(f"{command[0]}: {best:.3f} s")
            return out
    raise SystemExit(f"check failed: {command[0]} took {best:.2f} s, not {limit_s} s")


def listing(directory, entries, limit_s):
    """ls -lR prints at least `entries` lines, within the limit."""
    n = quickest(["ls", "-lR", directory], limit_s).count(b"\n")
    expect(n >= int(entries), f"{n} lines")


def stable_inodes(directory):
    """Two walks see the same number for the same path, and no number twice."""
    def walk():
        seen = {}
        for at, dirs, files in os.walk(directory):
            for name in dirs + files:
                path = os.path.join(at, name)
                seen[path] = os.lstat(path).st_ino
        return seen
    a, b = walk(), walk()
    expect(a == b, "the numbers changed")
    expect(len(set(a.values())) == len(a), "two paths have one number")


def json_lines(path, at_least):
    """Every line is JSON."""
    with open(path, encoding="utf-8") as f:
        lines = f.read().splitlines()
    for line in lines:
        json.loads(line)
    expect(len(lines) >= int(at_least), f"{len(lines)} lines")


def spans(path, trace):
    """What a collector got of three other requests, of a completion of two choices in the client's
    trace, and of one that is streamed."""
    with open(path, encoding="utf-8") as lines:
        posts = [json.loads(line) for line in lines]
    for post in posts:
        assert (post["path"], post["type"]) == ("/v1/traces", "application/json"), post
        assert post["authorization"] == "Bearer secret", post
        assert post["resource"]["service.name"] == {"stringValue": "lorafs"}, post
        assert post["resource"]["deployment.environment.name"] == {"stringValue": "test"}, post
    # A daemon that was not ready yet has answered looks at its health, too.
    spans_of = [p["span"] for p in posts if p["span"]["name"] != "GET /health"]
    found = {s["name"]: s for s in spans_of}
    assert len(found) == len(spans_of) == 5, list(found)
    plain = found["GET /v1/bases"]
    assert "parentSpanId" not in plain and plain["kind"] == 2, plain
    assert int(plain["startTimeUnixNano"]) <= int(plain["endTimeUnixNano"]), plain
    two, one = found["text_completion task"], found["text_completion base"]
    assert (two["traceId"], two["parentSpanId"]) == (trace, "b7ad6b7169203331"), two
    assert two["traceState"] == "a=1" and one["traceId"] != trace, (one, two)
    for span, made, ends in ((two, "6", 2), (one, "2", 1)):
        of = {a["key"]: a["value"] for a in span["attributes"]}
        assert of["gen_ai.operation.name"] == {"stringValue": "text_completion"}, of
        assert of["gen_ai.usage.output_tokens"] == {"intValue": made}, of
        assert int(of["gen_ai.usage.input_tokens"]["intValue"]) >= 1, of
        reasons = of["gen_ai.response.finish_reasons"]["arrayValue"]["values"]
        assert reasons == [{"stringValue": "length"}] * ends, of
        assert of["gen_ai.latency.time_to_first_token"]["doubleValue"] > 0, of
        assert of["http.route"] == {"stringValue": "/v1/completions"}, of
        assert of["http.response.status_code"] == {"intValue": "200"}, of
    assert of["gen_ai.request.temperature"] == {"doubleValue": 0.5}, of


def json_file(path):
    """It is JSON."""
    with open(path, encoding="utf-8") as f:
        json.load(f)


def metric(path, name, at_least):
    """A sample of the Prometheus text, as `name` or `name{labels}`, has at least this value."""
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.startswith(name + " "):
                value = float(line.split()[-1])
                expect(value >= float(at_least), f"{name} is {value}")
                return
    raise SystemExit(f"check failed: no {name}")


def land_state(state, done):
    """The study whose status is on stdin is in this state, with so many cells done."""
    study = json.load(sys.stdin)
    finished = [c for c in study["cells"] if c["state"] == "done"]
    expect(study["state"] == state, f"the study is {study['state']}")
    expect(len(finished) == int(done), f"{len(finished)} cells are done")
    for c in finished:
        expect(0 <= c["base_score"] < c["tuned_score"] <= 1 and c["tokens"] > 0, f"scores of {c}")


def land_lift(path, task, at_least):
    """A task's row of results.csv is at least so much above its base."""
    with open(path, encoding="utf-8") as f:
        rows = [r for r in csv.DictReader(f) if r["task"] == task]
    expect(len(rows) == 1, f"{len(rows)} rows of {task}")
    lift = float(rows[0]["tuned_score"]) - float(rows[0]["base_score"])
    expect(lift >= float(at_least), f"{task} gained {lift:.3f}")


def prometheus(url, board, alerts):
    """Every expression of the board, and of the rules, has a value in this Prometheus."""
    variables = {"$__rate_interval": "1m", "$instance": ".*"}

    def ask(expression):
        for name, value in variables.items():
            expression = expression.replace(name, value)
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def loaded():
        try:
            return ask("rate(lorafs_uptime_seconds[1m])")  # two scrapes
        except OSError:
            return False

    end = time.monotonic() + 60 * SLOWER
    while not loaded():
        expect(time.monotonic() < end, "Prometheus scrapes nothing")
        time.sleep(0.2)
    with open(board, encoding="utf-8") as f:
        panels = json.load(f)["panels"]
    wanted = [t["expr"] for p in panels for t in p["targets"]]
    expect(len(wanted) > 40, f"{len(wanted)} expressions")
    for expression in wanted:
        expect(ask(expression), f"nothing is known of {expression}")
    with urllib.request.urlopen(f"{url}/api/v1/rules", timeout=10) as answer:
        rules = [r for g in json.load(answer)["data"]["groups"] for r in g["rules"]]
    with open(alerts, encoding="utf-8") as f:
        expect(len(rules) == f.read().count("- alert:"), f"{len(rules)} rules")
    for rule in rules:
        expect(rule["state"] == "inactive", f"{rule['name']} is {rule['state']}")
        for name in re.findall(r"lorafs_\w+", rule["query"]):
            expect(ask(name), f"nothing is known of {name}, of {rule['name']}")


def main(argv):
    checks = {k: v for k, v in globals().items() if inspect.isfunction(v) and v.__doc__}
    if len(argv) < 2 or argv[1] not in checks:
        raise SystemExit("checks: " + " ".join(sorted(checks)))
    checks[argv[1]](*argv[2:])


if __name__ == "__main__":
    main(sys.argv)
