package azure

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
)

// guard stands between the SDK and the vault.
type guard struct {
	base  http.RoundTripper
	host  string
	plain bool // an emulator on the loopback interface, without TLS
}

var (
	errNotKeyVault = errors.New("the challenge is not one of Key Vault")
	errElsewhere   = errors.New("the request leads elsewhere")
)

func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	// A list names the address of its next page, where the SDK would send the token.
	if !strings.EqualFold(withoutPort(req.URL.Host), withoutPort(g.host)) {
		return nil, errElsewhere
	}
	if g.plain {
		req = req.Clone(req.Context())
		req.URL.Scheme = "http"
	}
	resp, err := g.base.RoundTrip(req)
	if err != nil || resp == nil {
		return resp, err
	}
	if resp.StatusCode == http.StatusUnauthorized && !readable(resp.Header.Get("WWW-Authenticate")) {
		_ = resp.Body.Close()
		return nil, errNotKeyVault
	}
	return resp, nil
}

// authorization is where the SDK looks for the tenant.
var authorization = regexp.MustCompile(`(?:^| )authorization="?([^" ]*)`)

// readable reports whether the SDK can read a challenge: it panics over one whose
// address has no path.
func readable(header string) bool {
	for _, found := range authorization.FindAllStringSubmatch(header, -1) {
		if found[1] != "" && found[1] != "," && strings.Count(found[1], "/") < 3 {
			return false
		}
	}
	return true
}

// withoutPort leaves out the port of https, which Key Vault names.
func withoutPort(host string) string { return strings.TrimSuffix(host, ":443") }
