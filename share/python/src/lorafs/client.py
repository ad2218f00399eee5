"""The daemon's HTTP API, call by call; https and unix sockets too. Standard library alone."""

from __future__ import annotations

import codecs
import contextlib
import http.client
import io
import json
import os
import socket
import ssl
import time
import urllib.parse
from typing import Any, BinaryIO, Dict, Iterable, Iterator, List, Mapping, Optional, Union

from .errors import LorafsError, TimedOut, Unreachable, error_of

Rows = Union[str, "os.PathLike[str]", bytes, Iterable[Mapping[str, Any]]]
_LOST = (http.client.HTTPException, OSError)
_PAUSE = 0.5  # seconds before the first repetition, doubled for each one after


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: Optional[float]):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client:
    """A daemon at `url`: http(s)://host:port, or the path of its unix socket; LORAFS_URL's where
    none is given, else http://127.0.0.1:8080. `api_key` is LORAFS_API_KEY's where none is given.
    `timeout` is in seconds, of silence; `retries` how often a call is repeated that found no place.
    May be used by many threads: every call has a connection of its own."""

    def __init__(
        self,
        url: Optional[str] = None,
        api_key: Optional[str] = None,
        timeout: Optional[float] = 600,
        retries: int = 4,
        cafile: Optional[str] = None,
    ):
        self.url = (url or os.environ.get("LORAFS_URL") or "http://127.0.0.1:8080").rstrip("/")
        self.api_key = api_key or os.environ.get("LORAFS_API_KEY") or ""
        self.timeout = timeout
        self.retries = retries
        self.cafile = cafile or os.environ.get("LORAFS_CACERT")

    # Adapters

    def adapters(self) -> List[Dict[str, Any]]:
        """All of them: name, state, version and so on."""
        return self._json("GET", "/v1/adapters")["adapters"]

    def adapter(self, name: str) -> Dict[str, Any]:
        """One, with its versions and its last job."""
        return self._json("GET", self._path(name))

    def bases(self) -> List[Dict[str, Any]]:
        return self._json("GET", "/v1/bases")["bases"]

    def create(self, name: str, config: Optional[Mapping[str, Any]] = None) -> Dict[str, Any]:
        """Makes an adapter, with settings of its trainings. Exists: the name is taken."""
        body: Dict[str, Any] = {"name": name}
        if config is not None:
            body["config"] = dict(config)
        return self._json("POST", "/v1/adapters", body)

    def remove(self, name: str) -> None:
        """Into the daemon's trash, where it is kept for seven days."""
        self._call("DELETE", self._path(name))

    def order(self, name: str, command: str) -> None:
        """cancel, pause, resume, finish, retry, train, or "rollback 3"."""
        self._call("POST", self._path(name, "/ctl"), (command + "\n").encode())

    # Files

    def upload(self, name: str, file: str, data: Rows, train: bool = False) -> Dict[str, Any]:
        """Replaces a file of an adapter ("dataset.jsonl", "eval.jsonl", "config.json", "template",
        "prompt") once the daemon has checked it. `data` is a path, bytes, or rows. With `train` the
        rows of a dataset.jsonl are trained on."""
        path = self._path(name, "/files/" + urllib.parse.quote(file))
        with _opened(data) as body:
            answer = self._call("PUT", path + ("?train=1" if train else ""), body)
        return json.loads(answer or b"{}")

    def download(self, name: str, file: str) -> bytes:
        """A file's bytes: "metrics.json", "log", "adapter/adapter_model.safetensors", ..."""
        return self._call("GET", self._path(name, "/files/" + urllib.parse.quote(file)))

    def status(self, name: str) -> str:
        """In a line: ready, training, or what is wrong."""
        return self.download(name, "status").decode().strip()

    # Training

    def train(
        self,
        name: str,
        rows: Rows,
        eval_rows: Optional[Rows] = None,
        config: Optional[Mapping[str, Any]] = None,
    ) -> bool:
        """Queues a training on rows, and makes the adapter where it is not there; `eval_rows` are
        what the version is scored on. False: the version that serves was made of the very same.
        Invalid says which row is wrong."""
        try:
            self.create(name, config)
        except LorafsError as e:
            if e.code != "exists":
                raise
            if config is not None:
                self.upload(name, "config.json", json.dumps(dict(config)).encode())
        if eval_rows is not None:
            self.upload(name, "eval.jsonl", eval_rows)
        return bool(self.upload(name, "dataset.jsonl", rows, train=True).get("queued"))

    def wait(self, name: str, timeout: Optional[float] = None) -> Dict[str, Any]:
        """Until the adapter is trained and scored: version, train_loss, metric, score. Failed has
        the reason where that did not come about. A daemon that starts anew is waited for."""
        end = None if timeout is None else time.monotonic() + timeout
        path = self._path(name, "/files/result?follow=1")
        while True:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise TimedOut("%s is not trained after %g s" % (name, timeout), "timed_out")
            try:
                return json.loads(self._call("GET", path, timeout=left))
            except TimedOut:
                continue
            except Unreachable:
                self._call("GET", "/health")  # with its repetitions: is it there again?

    # Inference

    def generate(self, name: str, prompt: str, **parameters: Any) -> str:
        """A prompt's completion, put as the adapter's rows were. `parameters`: max_tokens,
        temperature, seed, top_p, ..."""
        return "".join(self.stream(name, prompt, **parameters))

    def stream(self, name: str, prompt: str, **parameters: Any) -> Iterator[str]:
        """The same piece by piece, as it is made."""
        query = urllib.parse.urlencode({k: _word(v) for k, v in parameters.items()})
        path = self._path(name, "/generate") + ("?" + query if query else "")
        yield from self._pieces(path, prompt.encode(), "text/plain")

    def chat(
        self, model: str, messages: Iterable[Mapping[str, Any]], **parameters: Any
    ) -> Dict[str, Any]:
        """The answering message, as OpenAI's API has it: its text is ["content"]. `model` is an
        adapter, a version ("viggo/3") or a base."""
        body = dict(parameters, model=model, messages=[dict(m) for m in messages])
        return self._json("POST", "/v1/chat/completions", body)["choices"][0]["message"]

    # Calls

    @staticmethod
    def _path(name: str, rest: str = "") -> str:
        return "/v1/adapters/" + urllib.parse.quote(name, safe="") + rest

    def _connection(self, timeout: Optional[float]) -> http.client.HTTPConnection:
        if "://" not in self.url:
            return _UnixConnection(self.url.removeprefix("unix:"), timeout)
        url = urllib.parse.urlsplit(self.url)
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=self.cafile)
            return http.client.HTTPSConnection(
                url.hostname or "", url.port, timeout=timeout, context=context
            )
        return http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=timeout)

    @contextlib.contextmanager
    def _reasons(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as e:
            raise TimedOut("%s: no answer: %s" % (self.url, e), "timed_out") from e
        except _LOST as e:
            raise Unreachable("%s: %s" % (self.url, e), "unreachable") from e

    def _attempt(
        self,
        method: str,
        path: str,
        body: Union[bytes, BinaryIO, None],
        kind: str,
        timeout: Optional[float],
    ) -> http.client.HTTPResponse:
        """The answer's head was read. Its connection is closed with it."""
        headers = {"User-Agent": "lorafs-python", "Connection": "close"}
        if self.api_key:
            headers["Authorization"] = "Bearer " + self.api_key
        with self._reasons():
            if body is not None:
                headers["Content-Type"] = kind
                headers["Content-Length"] = str(_bytes_of(body))
            connection = self._connection(timeout)
            try:
                connection.request(method, path, body=body, headers=headers)
                answer = connection.getresponse()
            except BaseException:
                connection.close()
                raise
            if answer.status < 300:
                return answer
            with answer:
                raise _refusal(answer.status, answer.read(), answer.getheader("Retry-After"))

    def _answer(
        self,
        method: str,
        path: str,
        body: Union[bytes, BinaryIO, None] = None,
        kind: str = "application/octet-stream",
        timeout: Optional[float] = None,
    ) -> http.client.HTTPResponse:
        """Repeated where no place was left (429, 503), and, where that can do no harm, where the
        connection broke."""
        pause = _PAUSE
        for attempt in range(self.retries + 1):
            try:
                return self._attempt(method, path, body, kind, timeout)
            except LorafsError as e:
                again = e.status in (429, 503) or (method == "GET" and isinstance(e, Unreachable))
                if not again or attempt == self.retries:
                    raise
                time.sleep(max(pause, e.retry_after))
                pause *= 2
            if body is not None and not isinstance(body, bytes):
                body.seek(0)
        raise AssertionError("not reached")

    def _call(
        self,
        method: str,
        path: str,
        body: Union[bytes, BinaryIO, None] = None,
        kind: str = "application/octet-stream",
        timeout: Optional[float] = None,
    ) -> bytes:
        timeout = self.timeout if timeout is None else timeout
        with self._reasons(), self._answer(method, path, body, kind, timeout) as answer:
            return answer.read()

    def _json(self, method: str, path: str, body: Optional[Mapping[str, Any]] = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        return json.loads(self._call(method, path, sent, "application/json") or b"null")

    def _pieces(self, path: str, body: bytes, kind: str) -> Iterator[str]:
        """Text as it comes; a character that is cut waits for its rest."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        with self._reasons(), self._answer("POST", path, body, kind, self.timeout) as answer:
            while data := answer.read1(1 << 16):
                if text := decoder.decode(data):
                    yield text


def _refusal(status: int, body: bytes, after: Optional[str]) -> LorafsError:
    try:
        said = json.loads(body)["error"]
        error = error_of(status, said.get("code") or "", said["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        reason = body.decode(errors="replace").strip()
        error = LorafsError(reason or "status %d" % status, "", status)
    error.retry_after = int(after) if after and after.isdigit() else 0
    return error


def _opened(data: Rows) -> BinaryIO:
    if isinstance(data, (str, os.PathLike)):
        return open(data, "rb")
    if isinstance(data, bytes):
        return io.BytesIO(data)
    return io.BytesIO(b"".join(json.dumps(row).encode() + b"\n" for row in data))


def _bytes_of(body: Union[bytes, BinaryIO]) -> int:
    if isinstance(body, bytes):
        return len(body)
    at = body.tell()
    end = body.seek(0, os.SEEK_END)
    body.seek(at)
    return end - at


def _word(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value
