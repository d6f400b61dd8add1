module github.com/mlflow-secrets-auth/secretsauth

go 1.26.0
