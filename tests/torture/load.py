"""A mixed load: writers that know what they were told is done, and what may be.

Each has adapters that no other touches, and does over HTTP, and through the mount where there is
one: adapters made, renamed, removed and brought back from the trash; prompts and rows replaced,
trainings, roll-backs, answers. Of what a writer waited for when everything stopped, either may be
found.
"""
import copy
import hashlib
import json
import random
import threading
import time

from world import Gone

SETTINGS = {"rank": 2, "steps": 2, "batch_size": 2, "max_length": 32, "max_tokens": 4}
WEIGHTS = "adapter_model.safetensors"
LOOKED_AT = 4  # versions of an adapter after a kill: all at the end


def rows(word, n):
    return "".join(json.dumps({"prompt": f"Item {i} is", "completion": f" {word}"}) + "\n"
                   for i in range(n)).encode()


class Adapter:
    """What a writer knows. A set of values: any of them may be found."""

    def __init__(self, world, names):
        self.world, self.all_names = world, names
        self.names = {None}   # that it may have; None: it is not there
        self.files = {}       # name -> set of bytes or None (not there)
        self.trained = False  # a training was acknowledged
        self.versions = {}    # number -> digest of its weights
        self.past = []        # (position of the journal, what was known from then on)

    def knows(self, **what):
        """What is known from now on."""
        for name, value in what.items():
            setattr(self, name, value)
        if self.world.journal:
            self.past.append((self.world.position(), self.names, copy.deepcopy(self.files),
                              self.trained, dict(self.versions)))

    def at(self, position):
        """What was known when the journal was this long."""
        then = Adapter(self.world, self.all_names)
        for p, names, files, trained, versions in self.past:
            if p > position:
                break
            then.names, then.files, then.trained, then.versions = names, files, trained, versions
        return then

    @property
    def name(self):
        """The one that it surely has, or None."""
        return next(iter(self.names)) if len(self.names) == 1 else None


class Writer(threading.Thread):
    """One thread, whose adapters no other touches."""

    def __init__(self, world, index, seed):
        super().__init__(daemon=True)
        self.w, self.rng = world, random.Random(seed)
        self.adapters = [Adapter(world, (f"w{index}-{i}", f"w{index}-{i}-too")) for i in range(3)]
        self.stop = self.paused = False
        self.resting = threading.Event()

    def run(self):
        while not self.stop:
            if self.paused:
                self.resting.set()
                time.sleep(0.002)
                continue
            try:
                self.step(self.rng.choice(self.adapters))
            except Gone:
                self.w.count("in_doubt")
                time.sleep(0.002)

    def told(self, status):
        """True: done. False: refused. What is neither may be done or not."""
        if status >= 500 or status in (408, 429):
            raise Gone
        self.w.count("acknowledged")
        return status < 300

    def step(self, a):
        if a.names == {None}:
            return self.make(a)
        if not a.name:
            return None  # in doubt until the next look
        act = self.rng.choice((self.prompt, self.prompt, self.rows, self.look, self.wait,
                               self.rollback, self.remove, self.rename, self.forget, self.ask))
        return act(a)

    def make(self, a):
        name = self.rng.choice(a.all_names)
        a.knows(names={None, name}, files={}, trained=False, versions={})
        body = json.dumps({"name": name, "config": SETTINGS})
        if self.told(self.w.call("POST", "/v1/adapters", body)[0]):
            a.knows(names={name})

    def rename(self, a):
        old = a.name
        to = next(n for n in a.all_names if n != old)
        a.knows(names={old, to})
        done = self.told(self.w.call("POST", f"/v1/adapters/{old}/rename",
                                     json.dumps({"to": to}))[0])
        a.knows(names={to if done else old})

    def remove(self, a):
        if self.rng.random() < 0.5:
            return
        name, was = a.name, a.trained
        a.knows(names={None, name})
        if self.told(self.w.call("DELETE", f"/v1/adapters/{name}")[0]):
            a.knows(names={None})
        if self.rng.random() < 0.5:
            # A training under way does not come back.
            a.knows(names={None, name}, trained=False)
            done = self.told(self.w.call("POST", f"/v1/trash/{name}/restore", "{}")[0])
            a.knows(names={name if done else None}, trained=was and bool(a.versions))

    def put(self, a, name, data, query=""):
        a.knows(files={**a.files, name: a.files.get(name, {None}) | {data}})
        if self.w.fuse and self.w.mount and self.rng.random() < 0.5:
            try:
                (self.w.mnt / "model" / a.name / name).write_bytes(data)
            except OSError as e:
                raise Gone from e
            self.w.count("acknowledged")
        elif not self.told(self.w.call("PUT", f"/v1/adapters/{a.name}/files/{name}{query}",
                                       data)[0]):
            raise Gone
        a.knows(files={**a.files, name: {data}}, trained=a.trained or name == "dataset.jsonl")

    def prompt(self, a):
        self.put(a, "prompt", f"{self.rng.random()} ".encode() * self.rng.randint(1, 3000))

    def rows(self, a):
        word = self.rng.choice(("red", "blue", "green", "black"))
        self.put(a, "dataset.jsonl", rows(word, self.rng.randint(2, 400)), "?train=1")

    def forget(self, a):
        """The prompt goes."""
        if a.files.get("prompt", {None}) == {None}:
            return
        a.knows(files={**a.files, "prompt": a.files["prompt"] | {None}})
        if self.told(self.w.call("DELETE", f"/v1/adapters/{a.name}/files/prompt")[0]):
            a.knows(files={**a.files, "prompt": {None}})

    def ask(self, a):
        self.w.call("POST", f"/v1/adapters/{a.name}/generate", b"Item 1 is")

    def rollback(self, a):
        if len(a.versions) > 1:
            n = self.rng.choice(sorted(a.versions))
            self.told(self.w.call("POST", f"/v1/adapters/{a.name}/ctl", f"rollback {n}\n")[0])

    def wait(self, a):
        """Until it is trained, or a while."""
        for _ in range(20):
            if (self.w.shown(a.name) or {}).get("state") != "training" or self.paused:
                break
            time.sleep(0.02)
        self.look(a)

    def look(self, a):
        """What versions there are, and what their weights are; not of one that is being made."""
        shown = self.w.shown(a.name)
        for n in shown["versions"] if shown and shown["state"] == "ready" else ():
            if n not in a.versions:
                weights = self.w.file(a.name, f"versions/{n}/{WEIGHTS}")
                if weights:
                    a.knows(versions={**a.versions, n: hashlib.sha256(weights).hexdigest()})
                    self.w.count("versions")


def verify(w, a, all_versions=True):
    """Every acknowledged thing; what was in doubt is known from now on."""
    there = [n for n in a.all_names if w.shown(n)]
    if len(there) > 1 or (there[0] if there else None) not in a.names:
        w.lost.append(f"{a.all_names[0]} is {there}, not one of {a.names}")
    name = there[0] if there else None
    if not name:
        a.knows(names={None}, files={}, trained=False, versions={})
        return
    files = {}
    for file, may in a.files.items():
        data = w.file(name, file)
        if data not in may:
            w.lost.append(f"{name}/{file}: {None if data is None else len(data)} bytes, none of "
                          f"{sorted(-1 if x is None else len(x) for x in may)}")
        files[file] = {data}
    a.knows(names={name}, files=files)
    numbers = sorted(a.versions)
    for n in numbers if all_versions else numbers[-LOOKED_AT:]:
        weights = w.file(name, f"versions/{n}/{WEIGHTS}")
        if weights is None or hashlib.sha256(weights).hexdigest() != a.versions[n]:
            w.lost.append(f"{name}: version {n} is lost or another")
            del a.versions[n]


def rest(writers, paused):
    for t in writers:
        t.resting.clear()
        t.paused = paused
    for t in writers if paused else ():
        if not t.resting.wait(120):
            raise SystemExit("a writer hangs")


def settle(w, adapters):
    """Every acknowledged training becomes a version."""
    for a in adapters:
        if a.name and a.trained:
            if b"set aside" in w.file(a.name, "status"):  # two kills in the same few milliseconds
                w.call("POST", f"/v1/adapters/{a.name}/ctl", "retry\n")
            w.until(lambda a=a: w.shown(a.name)["state"] in ("ready", "failed"),
                    f"{a.name} is not trained", 600)
            shown = w.shown(a.name)
            if not shown["versions"]:
                w.lost.append(f"{a.name}: its training is lost: {shown['status']}")
