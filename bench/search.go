package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// search is what the client's side of "experiments/search" takes, against MLflow
// with a password that OpenBao keeps, beside MLflow's own client with the Python
// plugin.
func search(e effort) ([]row, error) {
	const measure = "experiments/search, MLflow and OpenBao"
	python := fetched(plugin(), "python")
	mlflow, bao := fetched(servers(), "mlflow"), fetched(servers(), "bao")
	switch {
	case mlflow == "" || bao == "":
		return []row{notMeasured(measure, "run make e2e first")}, nil
	case python == "":
		return []row{notMeasured(measure, noPlugin)}, nil
	}
	dir, err := os.MkdirTemp("", "secretsauth-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program, err := build(dir, "search")
	if err != nil {
		return nil, err
	}
	password, token := rand.Text(), rand.Text()
	tracking, stop, err := startMLflow(dir, mlflow, password)
	if err != nil {
		return nil, err
	}
	defer stop()
	vault, stop, err := startOpenBao(dir, bao, token, password)
	if err != nil {
		return nil, err
	}
	defer stop()

	var work spans
	frontOfMLflow, frontOfOpenBao := work.before(tracking), work.before(vault)
	defer frontOfMLflow.Close()
	defer frontOfOpenBao.Close()
	env := environ(dir, "MLFLOW_TRACKING_URI="+frontOfMLflow.URL, "MLFLOW_TRACKING_AUTH=mlflow_secrets_auth",
		"MLFLOW_SECRETS_AUTH_ENABLE=vault", "MLFLOW_SECRETS_ALLOWED_HOSTS=127.0.0.1", "MLFLOW_SECRETS_LOG_LEVEL=ERROR",
		"VAULT_ADDR="+frontOfOpenBao.URL, "VAULT_TOKEN="+token,
		"MLFLOW_VAULT_SECRET_PATH=secret/mlflow/auth", "MLFLOW_VAULT_AUTH_MODE=basic", "MLFLOW_DISABLE_TELEMETRY=true")

	clients := [2][]string{{program}, {python, "search/search.py"}}
	const searches = 8
	var process, first, warm [2]float64
	for i := range clients {
		process[i], first[i], warm[i] = math.Inf(1), math.Inf(1), math.Inf(1)
	}
	for range (e.rounds + 1) / 2 {
		for i, client := range clients {
			begun := time.Now()
			out, _, err := execute(env, client[0], append(client[1:], strconv.Itoa(searches))...)
			if err != nil {
				return nil, err
			}
			var calls []span
			if json.Unmarshal(out, &calls) != nil || len(calls) != searches {
				return nil, fmt.Errorf("%s printed %q in place of %d times", filepath.Base(client[0]), out, searches)
			}
			first[i] = min(first[i], work.without(calls[0]))
			for _, call := range calls[1:] {
				warm[i] = min(warm[i], work.without(call))
			}
			process[i] = min(process[i], work.without(span{seconds(begun), calls[0][1]}))
		}
	}
	const beside = "MlflowClient with the Python plugin"
	return []row{
		faster(measure+", a new process until its first answer: client's time", process[0], process[1], beside).atLeast(1),
		faster(measure+", the first call of a process: client's time", first[0], first[1], beside).atLeast(1),
		faster(measure+", warm: client's time", warm[0], warm[1], beside).atLeast(1),
	}, nil
}
