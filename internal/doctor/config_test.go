package doctor

import (
	"slices"
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
