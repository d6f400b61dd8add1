package providers_test

import (
	"os"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

func TestMain(m *testing.M) { os.Exit(canary.Net(m).Run()) }
