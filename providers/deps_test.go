package providers_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/mlflow-secrets-auth/secretsauth"

// A program links the SDKs of the stores it imports, and no others.
func TestDependencies(t *testing.T) {
	t.Parallel()
	const (
		vaultSDK = "github.com/hashicorp/"
		awsSDK   = "github.com/aws/"
		azureSDK = "github.com/Azure/"
	)
	tests := map[string]struct{ allowed, refused []string }{
		module:                      {allowed: []string{module}},
		module + "/providers/azure": {refused: []string{vaultSDK, awsSDK}},
		module + "/providers/aws":   {refused: []string{vaultSDK, azureSDK}},
		module + "/providers/vault": {refused: []string{awsSDK, azureSDK}},
	}
	for path, test := range tests {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			for _, dep := range deps(t, path) {
				if test.allowed != nil && !hasPrefix(dep, test.allowed) || hasPrefix(dep, test.refused) {
					t.Errorf("%s links %s", path, dep)
				}
			}
		})
	}
	t.Run("the test sees what is linked", func(t *testing.T) {
		t.Parallel()
		for _, dep := range deps(t, module+"/providers/vault") {
			if strings.HasPrefix(dep, vaultSDK) {
				return
			}
		}
		t.Error("providers/vault links no Vault SDK?")
	})
}

func hasPrefix(path string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// deps are the packages outside the standard library that path needs, itself
// included.
func deps(t *testing.T, path string) []string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", path)
	var stderr strings.Builder
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	return strings.Fields(string(out))
}
