package main

import (
	"math"
	"os"
)

const noPlugin = "the Python plugin is not there: run bench/install.sh"

// start is how long "mlflow-secrets-auth info" takes from its start to its end,
// beside the command of the same name of the Python plugin.
func start(e effort) ([]row, error) {
	const measure = "mlflow-secrets-auth info: time"
	theirs := fetched(plugin(), "mlflow-secrets-auth")
	if theirs == "" {
		return []row{notMeasured(measure, noPlugin)}, nil
	}
	dir, err := os.MkdirTemp("", "secretsauth-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	command, err := build(dir, "../cmd/mlflow-secrets-auth")
	if err != nil {
		return nil, err
	}
	env := environ(dir, "MLFLOW_SECRETS_AUTH_ENABLE=vault", "MLFLOW_SECRETS_ALLOWED_HOSTS=mlflow.company.com",
		"VAULT_ADDR=https://vault.company.com", "VAULT_TOKEN=token", "MLFLOW_VAULT_SECRET_PATH=secret/mlflow/auth")

	fastest := [2]float64{math.Inf(1), math.Inf(1)}
	for range e.rounds {
		for i, path := range []string{command, theirs} {
			_, took, err := execute(env, path, "info")
			if err != nil {
				return nil, err
			}
			fastest[i] = min(fastest[i], took.Seconds())
		}
	}
	return []row{faster(measure, fastest[0], fastest[1], "the Python plugin").atLeast(30)}, nil
}
