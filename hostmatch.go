package secretsauth

import (
	"net/url"

	"github.com/mlflow-secrets-auth/secretsauth/internal/hosts"
)

// HostMatcher is a compiled list of host patterns. It is immutable and safe for
// concurrent use. The zero value matches nothing.
type HostMatcher struct {
	list hosts.List
}

// HostDecision says whether a URL's host is on the list, and why.
type HostDecision struct {
	Allowed bool   // a request to it may carry the credential
	Pattern string // the first pattern that covers the host, as it was written
	Host    string // the host as it is compared, or "" if it is not a plain host
	Reason  string // in words
}

// CompileHosts reads host patterns. No pattern matches no host.
//
//	mlflow.company.com          that host, any port
//	mlflow.company.com:5000     that host, that port
//	https://mlflow.company.com  that host, https only
//	*.company.com               any host below company.com, at any depth, but not itself
//	mlflow-*.company.com        * matches any characters, dots included
//	mlflow-*                    a wildcard in the last label: exactly as many labels as the pattern
//	mlflow-?.company.com        ? and [a-c], [!0-9] match one character that is not a dot
//	10.1.2.3, [::1]:5000        addresses match exactly, never by a wildcard
//	*                           every host
//
// Case and one trailing dot do not count. Default ports are filled in before
// ports are compared. A pattern that no host can match is an error that wraps
// [ErrConfig].
func CompileHosts(patterns []string) (*HostMatcher, error) {
	list, err := hosts.Compile(patterns)
	if err != nil {
		return nil, &Error{
			Kind:    ErrConfig,
			Summary: err.Error(),
			Fix:     "write patterns like mlflow.company.com, *.company.com or https://mlflow.company.com:5000 in MLFLOW_SECRETS_ALLOWED_HOSTS (Config.AllowedHosts)",
		}
	}
	return &HostMatcher{list}, nil
}

// Match reports whether a request to u may carry the credential, as far as its
// host, port and scheme go. A host that is not plain ASCII labels or an IP
// address matches nothing, not even "*".
func (m *HostMatcher) Match(u *url.URL) bool { return m.Explain(u).Allowed }

// Explain is [HostMatcher.Match] with the reason. A nil URL, and a nil matcher, allow
// nothing.
func (m *HostMatcher) Explain(u *url.URL) HostDecision {
	if m == nil {
		m = &HostMatcher{}
	}
	return HostDecision(m.list.Explain(u))
}

// Warnings names the patterns that cover more, or less, than their author may
// have had in mind, one line each; nil if there is none. [NewTransport] logs them.
func (m *HostMatcher) Warnings() []string {
	if m == nil {
		return nil
	}
	return m.list.Warnings()
}
