"""Batches as OpenAI's own client sees them. URL: the daemon, with an adapter `red`."""
import io
import json
import os
import time

import openai
from asking import expect

client = openai.OpenAI(base_url=os.environ["URL"] + "/v1", api_key="none", max_retries=0)
ENDS = ("completed", "failed", "expired", "cancelled")


def request(name, model, **body):
    return {"custom_id": name, "method": "POST", "url": "/v1/completions",
            "body": {"model": model, "prompt": "Item 3 is", "max_tokens": 4, "temperature": 0,
                     **body}}


def upload(lines):
    text = "".join(json.dumps(x) + "\n" for x in lines).encode()
    return client.files.create(file=("in.jsonl", io.BytesIO(text)), purpose="batch").id


def create(file, endpoint="/v1/completions", window="24h", **more):
    return client.batches.create(input_file_id=file, endpoint=endpoint, completion_window=window,
                                 **more)


def until(batch, *states):
    while (found := client.batches.retrieve(batch)).status not in states:
        expect(found.status not in ENDS, f"the batch is {found}")
        time.sleep(0.05)
    return found


def lines(file):
    text = client.files.content(file).text
    return {x["custom_id"]: x for x in map(json.loads, text.splitlines())}


def check_answers():
    """What its route answers one by one, a batch answers; what its route refuses is an error."""
    asked = [request(f"q{i}", m) for i, m in enumerate(("red", "", "red", ""))]
    bad = [request("nobody", "nobody"), request("much", "red", max_tokens=1000000),
           request("odd", "red", suffix="x")]
    batch = create(upload(asked[:2] + bad + asked[2:]), metadata={"for": "night"},
                   extra_body={"output_expires_after": {"anchor": "created_at", "seconds": 3600}})
    expect(batch.status not in ENDS and batch.metadata == {"for": "night"}, f"{batch}")
    done = until(batch.id, "completed")
    c = done.request_counts
    expect((c.total, c.completed, c.failed) == (7, 4, 3), f"{c}")
    answers, errors = lines(done.output_file_id), lines(done.error_file_id)
    for line in asked:
        alone = client.completions.create(**line["body"])
        body = answers[line["custom_id"]]["response"]["body"]
        expect(body["choices"][0]["text"] == alone.choices[0].text, f"{body}")
        expect(answers[line["custom_id"]]["response"]["status_code"] == 200, "status")
    codes = {k: v["response"]["status_code"] for k, v in errors.items()}
    expect(codes == {"nobody": 404, "much": 400, "odd": 400}, f"{codes}")
    expect("suffix" in errors["odd"]["response"]["body"]["error"]["message"], "an error says why")
    made = client.files.retrieve(done.output_file_id)
    expect(made.purpose == "batch_output" and made.expires_at > made.created_at, f"{made}")
    expect(made.bytes == len(client.files.content(made.id).read()), "bytes")


def check_faults():
    """Lines that are none: nothing is answered."""
    good = request("a", "")
    faults = [dict(good, method="GET"), dict(good, url="/v1/embeddings"), {"custom_id": "x"}, good,
              good, dict(request("s", ""), body={"stream": True}), [1]]
    failed = until(create(upload(faults)).id, "failed")
    expect([e.line for e in failed.errors.data] == [1, 2, 3, 5, 6, 7], f"{failed.errors}")
    expect(failed.output_file_id is None, "no file")
    until(create(upload([])).id, "failed")
    file = upload([good])
    for wrong in (dict(endpoint="/v1/embeddings"), dict(window="soon"), dict(window="31d"),
                  dict(output_expires_after={"seconds": 3600}),
                  dict(output_expires_after={"anchor": "created_at"})):
        try:
            create(file, **wrong)
        except openai.BadRequestError as e:
            expect(e.body["message"], "an error says why")
        else:
            raise SystemExit(f"check failed: {wrong} was not refused")


def check_ends():
    """One is cancelled, one's window ends: what was answered is kept, the rest is told."""
    slow = [request(f"q{i}", "", max_tokens=200 + i, ignore_eos=True) for i in range(60)]
    file = upload(slow)
    batch = create(file)
    until(batch.id, "in_progress")
    now = client.batches.cancel(batch.id).status
    expect(now in ("cancelling", "finalizing", "cancelled"), f"cancelled, it is {now}")
    cancelled = until(batch.id, "cancelled")
    expect(cancelled.request_counts.completed < 60, f"{cancelled}")
    try:
        client.batches.cancel(batch.id)
        raise SystemExit("check failed: it was cancelled twice")
    except openai.ConflictError:
        pass
    expired = until(create(file, window="1s").id, "expired")
    c, errors = expired.request_counts, lines(expired.error_file_id)
    expect(c.completed + c.failed == 60 and c.failed == len(errors) > 0, f"{c}")
    expect({e["error"]["code"] for e in errors.values()} == {"batch_expired"}, "the error")
    expect([b.id for b in client.batches.list(limit=1)][:2] == [expired.id, batch.id], "pages")


check_answers()
check_faults()
check_ends()
