"""python_package.py: the package of share/python with the daemon of command_line.sh, whose adapter
`task` is trained. LORAFS_URL and LORAFS_API_KEY say where and with what."""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.environ["LF_SOURCE"], "share/python/src"))
import lorafs  # noqa: E402


def refuses(kind, reason, call, *args, **kw):
    try:
        call(*args, **kw)
    except lorafs.LorafsError as e:
        assert type(e) is kind and reason in str(e), (type(e), str(e))
        return e
    raise AssertionError("%s was not refused" % call.__name__)


def rows(word, n):
    return [{"prompt": "Item %d is" % i, "completion": " " + word} for i in range(1, n + 1)]


def check_errors(client):
    e = refuses(lorafs.NotFound, "none", client.adapter, "none")
    assert (e.status, e.code) == (404, "not_found")
    refuses(lorafs.Exists, "task", client.create, "task")
    refuses(lorafs.Invalid, "line 2", client.upload, "task", "dataset.jsonl", b'{"prompt": "a", '
            b'"completion": "b"}\n{oops\n')
    refuses(lorafs.Invalid, "lora_r", client.create, "other", {"lora_r": 4})
    refuses(lorafs.Denied, "", lorafs.Client(api_key="wrong").adapters)
    nobody = lorafs.Client("http://127.0.0.1:1", retries=0)
    refuses(lorafs.Unreachable, "127.0.0.1:1", nobody.adapters)
    refuses(lorafs.NotFound, "", client.wait, "none")


def check_training(client, settings):
    assert client.train("blue", rows("blue", 8), rows("blue", 3), settings)
    result = client.wait("blue", timeout=600)
    assert (result["state"], result["version"], result["metric"]) == ("ready", 1, "exact_match")
    assert client.status("blue").startswith("ready v1")
    assert not client.train("blue", rows("blue", 8))
    assert [a["name"] for a in client.adapters()].count("blue") == 1
    refuses(lorafs.NotFound, "", client.download, "blue", "versions/7/log")
    assert client.adapter("blue")["version"] == 1


def check_asking(client):
    whole = client.generate("blue", "Item 1 is", temperature=0, max_tokens=8)
    assert "blue" in whole, whole
    pieces = list(client.stream("blue", "Item 1 is", temperature=0, max_tokens=8))
    assert "".join(pieces) == whole
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(
        client.generate("blue", "Item 1 is", temperature=0, max_tokens=8))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [whole] * 4
    refuses(lorafs.Invalid, "max_tokens", client.generate, "blue", "x", max_tokens="many")
    said = client.chat("blue", [{"role": "user", "content": "Item 1 is"}], max_tokens=8)
    assert said["role"] == "assistant" and said["content"]


def main():
    client = lorafs.Client()
    check_errors(client)
    settings = {"rank": 4, "steps": 12, "batch_size": 2, "learning_rate": 0.003, "max_tokens": 16,
                "metric": "exact_match", "max_length": 32}
    check_training(client, settings)
    check_asking(client)
    socket = lorafs.Client(sys.argv[1])
    assert len(socket.adapters()) == len(client.adapters())
    client.order("blue", "rollback 1")
    client.remove("blue")
    refuses(lorafs.NotFound, "blue", client.adapter, "blue")


main()
