"""A training as users write it: MLflow's own client, and nothing of ours.

It logs batches until it is told "enough" on stdin, then moves a large artifact up and
down, with a pause in between, and registers a model. It says on stdout where it is.
"""

import hashlib
import os
import sys
import tempfile
import threading
import time

import mlflow
from mlflow.entities import Metric


def say(*words):
    print(*words, flush=True)


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while part := f.read(1 << 20):
            h.update(part)
    return h.hexdigest()


enough = threading.Event()
go_on = threading.Event()


def listen():
    for line in sys.stdin:
        {"enough": enough, "go on": go_on}[line.strip()].set()


threading.Thread(target=listen, daemon=True).start()

megabytes = int(sys.argv[1])
client = mlflow.MlflowClient()
experiment = client.create_experiment("python-" + os.urandom(8).hex())
run = client.create_run(experiment).info.run_id
say("started", experiment, run)

logged = 0
while logged < 1000 or not enough.is_set():
    now = int(time.time() * 1000)
    client.log_batch(run, metrics=[Metric("loss", 1 / (logged + n + 1), now, logged + n) for n in range(100)])
    logged += 100
    say("logged", logged)

with tempfile.TemporaryDirectory() as folder:
    weights = os.path.join(folder, "weights.bin")
    with open(weights, "wb") as f:
        for _ in range(megabytes):
            f.write(os.urandom(1 << 20))
    client.log_artifact(run, weights)
    say("uploaded")
    go_on.wait()
    back = client.download_artifacts(run, "weights.bin", folder + "/..")
    assert digest(back) == digest(weights), "the artifact came back changed"
    os.remove(back)

name = "model-" + os.urandom(8).hex()
client.create_registered_model(name)
client.create_model_version(name, source=client.get_run(run).info.artifact_uri, run_id=run)
assert client.get_model_version(name, "1").run_id == run
assert len(client.get_metric_history(run, "loss")) == logged, "values are missing"
client.set_terminated(run)
say("done", logged)
