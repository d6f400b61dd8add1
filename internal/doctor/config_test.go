package doctor

import (
	"slices"
	"strings"
	"testing"
)

func TestS49PublicSuffixesAreWarnedOf(t *testing.T) {
	t.Parallel()
	warned := []string{"*.co.uk", "*company.co.uk", "HTTPS://*.CO.UK.:443", "api.*.co.uk", "mlflow-?.github.io", "a.[bc].com.au"}
	quiet := []string{"*.company.co.uk", "mlflow.co.uk", "*.company.com", "*.corp.test", "mlflow-*", "[::1]:5000", "10.0.0.*", "*", "*.com"} // of the last two the library warns
	for _, pattern := range append(slices.Clone(warned), quiet...) {
		if got := len(suffixWarnings([]string{pattern})); (got == 1) != slices.Contains(warned, pattern) {
			t.Errorf("%s: %d warnings", pattern, got)
		}
	}
}

// What no provider is asked for is said once, also where none is enabled: a misspelt
// name may be the reason.
func TestVariablesOfNoProviderAreToldOnce(t *testing.T) {
	for _, enabled := range []string{"", "vault", "vault,aws-secrets-manager"} {
		t.Run(enabled, func(t *testing.T) {
			for _, name := range []string{"VAULT_ADDR", "MLFLOW_VAULT_SECRET_PATH", "MLFLOW_AWS_SECRET_NAME", "MLFLOW_AWS_SECRET_ID"} {
				t.Setenv(name, "")
			}
			t.Setenv("MLFLOW_SECRETS_AUTH_ENABLE", enabled)
			t.Setenv("MLFLOW_SECRETS_AUTH_ENABLED", "vault")
			told := 0
			for _, r := range Run(t.Context(), Options{}, func(Result) {}).Checks {
				if strings.Contains(r.Cause, "MLFLOW_SECRETS_AUTH_ENABLED") {
					told++
				}
			}
			if told != 1 {
				t.Errorf("told %d times", told)
			}
		})
	}
}
