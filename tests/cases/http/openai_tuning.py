"""Files and fine-tuning as OpenAI's own client sees them: from an upload to an answer of the model
that the job names. URL: the daemon. Prints the job, its model, and a file."""
import io
import json
import os
import time

import openai
from asking import expect

client = openai.OpenAI(base_url=os.environ["URL"] + "/v1", api_key="none", max_retries=0)
jobs = client.fine_tuning.jobs


def chats(n, word):
    rows = ({"messages": [{"role": "user", "content": f"Item {i} is"},
                          {"role": "assistant", "content": f" {word}"}]} for i in range(n))
    return "".join(json.dumps(r) + "\n" for r in rows).encode()


def upload(name, content, purpose="fine-tune"):
    return client.files.create(file=(name, io.BytesIO(content)), purpose=purpose)


def until(job, *states):
    while (found := jobs.retrieve(job)).status not in states:
        expect(found.status in ("queued", "running", "paused"), f"the job is {found}")
        time.sleep(0.05)
    return found


def refused(kind, call, *said, **arguments):
    try:
        call(**arguments)
    except kind as e:
        for words in said:
            expect(words in e.body["message"], f"{e.body['message']!r} does not say {words!r}")
        return
    raise SystemExit(f"check failed: {arguments} was not refused with {kind.__name__}")


def check_files():
    a, b = upload("../../ä b.jsonl", chats(4, "red")), upload("b.jsonl", b"x", "batch")
    expect(client.files.retrieve(a.id).filename == "../../ä b.jsonl", "a name is a text")
    expect(client.files.content(a.id).read() == chats(4, "red"), "content")
    expect([f.id for f in client.files.list()] == [b.id, a.id], "the latest first")
    expect([f.id for f in client.files.list(limit=1, order="asc")] == [a.id, b.id], "pages")
    expect([f.id for f in client.files.list(purpose="batch")] == [b.id], "of a purpose")
    kept = client.files.create(file=b"x", purpose="batch",
                               expires_after={"anchor": "created_at", "seconds": 3600})
    expect(kept.expires_at == kept.created_at + 3600, "expires_at")
    refused(openai.BadRequestError, client.files.create, "3600 to", file=b"x", purpose="batch",
            expires_after={"anchor": "created_at", "seconds": 1})
    refused(openai.BadRequestError, client.files.create, "fine-tune or batch", file=b"x",
            purpose="vision")
    for f in client.files.list():
        expect(client.files.delete(f.id).deleted, "deleted")
    refused(openai.NotFoundError, client.files.retrieve, file_id=a.id)
    refused(openai.NotFoundError, client.files.content, file_id="file-" + "0" * 24)


def check_refusals(rows):
    def create(**changes):
        jobs.create(**{"model": "chatty", "training_file": rows, **changes})

    torn = upload("torn.jsonl", chats(2, "red") + b'{"messages": [{"role"')
    bad, missing = openai.BadRequestError, openai.NotFoundError
    refused(missing, create, "nobody", model="nobody")
    refused(missing, create, "training_file", training_file="file-" + "1" * 24)
    refused(bad, create, "training_file", "line 3", training_file=torn.id)
    refused(bad, create, "suffix", suffix="a/b")
    refused(bad, create, "n_epochs", hyperparameters={"n_epochs": 0})
    refused(bad, create, "not the same", hyperparameters={"n_epochs": 2}, method={
        "type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}})
    refused(bad, create, "has what is for dpo", method={
        "type": "supervised", "dpo": {"hyperparameters": {"beta": 0.3}}})
    refused(bad, create, "reinforcement", method={"type": "reinforcement"})
    refused(bad, create, "beta", hyperparameters={"beta": 0.1})
    refused(bad, create, "metadata", metadata={"k": "x" * 513})
    refused(bad, create, "integrations", integrations=[{"type": "wandb"}])
    refused(missing, jobs.retrieve, fine_tuning_job_id="ftjob-1")
    expect(not list(jobs.list()), "what was refused is no job")
    expect([m.id for m in client.models.list()] == ["chatty"], "nor a model")


def check_training(rows, held_out):
    job = jobs.create(model="chatty", training_file=rows, validation_file=held_out, suffix="paint",
                      seed=7, metadata={"team": "walls"},
                      method={"type": "supervised", "supervised": {"hyperparameters": {
                          "n_epochs": 2, "batch_size": 2, "learning_rate_multiplier": 4}}})
    expect(job.status in ("queued", "running") and job.fine_tuned_model is None, f"{job}")
    expect(job.model == "chatty" and job.seed == 7 and job.metadata == {"team": "walls"}, f"{job}")
    expect(job.hyperparameters.n_epochs == 2, f"{job.hyperparameters}")
    done = until(job.id, "succeeded")
    expect(done.fine_tuned_model.startswith("paint-") and done.trained_tokens > 0, f"{done}")
    expect(done.finished_at >= done.created_at and done.error is None, f"{done}")
    answer = client.chat.completions.create(
        model=done.fine_tuned_model, messages=[{"role": "user", "content": "Item 3 is"}],
        max_tokens=4, temperature=0)
    expect("red" in answer.choices[0].message.content, f"it says {answer.choices[0].message}")

    events = list(jobs.list_events(job.id, limit=5))
    expect(len({e.id for e in events}) == len(events) > 12, f"{len(events)} events")
    expect(events[-1].message.startswith("queued"), f"the first is {events[-1]}")
    losses = [e.data["loss"] for e in events if e.type == "metrics" and "loss" in e.data]
    expect(losses[0] < losses[-1], f"the loss goes down: {losses}")
    expect(events[0].created_at >= events[-1].created_at > 0, "times")
    checkpoint, = jobs.checkpoints.list(job.id)
    expect(checkpoint.fine_tuned_model_checkpoint == done.fine_tuned_model, f"{checkpoint}")
    expect(checkpoint.metrics.valid_loss > 0 and checkpoint.step_number > 0, f"{checkpoint}")
    return done


def check_orders(rows, first):
    """One that goes on with the first; it is paused, goes on, and is cancelled."""
    job = jobs.create(model=first.fine_tuned_model, training_file=rows,
                      hyperparameters={"n_epochs": 5000})
    until(job.id, "running")
    expect(jobs.pause(job.id).status == "paused", "paused")
    refused(openai.ConflictError, jobs.pause, "paused", fine_tuning_job_id=job.id)
    jobs.resume(job.id)
    jobs.cancel(job.id)
    until(job.id, "cancelled")
    expect([j.id for j in jobs.list(limit=1)] == [job.id, first.id], "pages of jobs")
    expect(not list(jobs.checkpoints.list(job.id)), "nothing came of it")


check_files()
rows, held_out = upload("rows.jsonl", chats(16, "red")), upload("eval.jsonl", chats(4, "red"))
check_refusals(rows.id)
first = check_training(rows.id, held_out.id)
client.files.delete(rows.id)  # a job has its own
check_orders(held_out.id, first)
print(first.id, first.fine_tuned_model, held_out.id)
