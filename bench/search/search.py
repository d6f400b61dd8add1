"""Does what main.go does, with MLflow's client and the Python plugin."""

import json
import sys
import time

from mlflow import MlflowClient

client = MlflowClient()
spans = []
for _ in range(int(sys.argv[1])):
    start = time.time()
    found = client.search_experiments(max_results=5)
    spans.append((start, time.time()))
    assert found, "no experiment was found"
print(json.dumps(spans))
