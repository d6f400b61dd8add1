// Package child runs a program that gets MLflow's credential from us: its
// environment, and its life.
package child

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// Environment is what the child's environment has that ours has not, and what it
// must not have.
type Environment struct {
	// TrackingURI is where the child finds MLflow.
	TrackingURI string
	// Authorization is the value of the header that it is to send there, Basic or
	// Bearer.
	Authorization string
	// Also are further variables, as NAME=value.
	Also []string
	// Direct is a host that the proxies of the environment are not asked for: they
	// could not reach this machine's loopback, and would see what is sent there.
	Direct string
	// Stores are the slugs of the stores that our own logins are for.
	Stores []string
	// KeepLogins leaves them to the child.
	KeepLogins bool
}

// contradicting are the variables by which MLflow's clients choose a credential:
// another one than ours, if they were left.
var contradicting = []string{
	"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN",
	"MLFLOW_TRACKING_AUTH",      // a plugin that overwrites the header
	"MLFLOW_TRACKING_AWS_SIGV4", // so does this
}

// logins are the variables that by their value alone open a store. They may open
// more than the one secret, so the child does not get them, whichever store is in
// use. Names of files and roles stay: what they stand for is open to every process
// of the same user, with the name or without.
var logins = []string{
	"VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID", "VAULT_MFA", "VAULT_HEADERS",
	"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD",
}

// identities are what a program has for the whole of a cloud, and so may need for
// itself: a training script keeps its artifacts on S3. They stay, unless they open
// the store that is in use. Then there is no telling whether they serve the child
// too, and the safe answer is that they do not: what goes wrong then says so, and
// can be helped.
var identities = map[string][]string{
	"aws-secrets-manager": {
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_EXTERNAL_ID",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	},
	"azure-key-vault": {"IDENTITY_HEADER", "MSI_SECRET"},
}

// Of makes the child's environment of ours. It names the variables with a value
// that the child does not get, in any value.
func (e Environment) Of(ours []string) (theirs, withheld []string, err error) {
	set, err := credential(e.Authorization)
	if err != nil {
		return nil, nil, err
	}
	set = append(set, "MLFLOW_TRACKING_URI="+e.TrackingURI)
	set = append(append(set, e.Also...), e.bypass(ours)...)
	removed := slices.Clone(contradicting)
	if !e.KeepLogins {
		removed = append(removed, logins...)
		for _, store := range e.Stores {
			removed = append(removed, identities[store]...)
		}
	}
	for _, entry := range ours {
		name, value, _ := strings.Cut(entry, "=")
		switch replaced := names(set, name); {
		case !replaced && !holds(removed, name):
			theirs = append(theirs, entry)
		case !replaced && value != "":
			withheld = append(withheld, name)
		}
	}
	return append(theirs, set...), withheld, nil
}

var errAuthorization = errors.New("the credential is neither Basic nor Bearer, and MLflow's variables have no other form")

// credential is what makes an MLflow client send this value.
func credential(authorization string) ([]string, error) {
	scheme, value, _ := strings.Cut(authorization, " ")
	switch scheme {
	case "Bearer":
		if value != "" {
			return []string{"MLFLOW_TRACKING_TOKEN=" + value}, nil
		}
	case "Basic":
		pair, err := base64.StdEncoding.DecodeString(value)
		user, password, ok := strings.Cut(string(pair), ":") // a username has no colon
		if err == nil && ok {
			return []string{"MLFLOW_TRACKING_USERNAME=" + user, "MLFLOW_TRACKING_PASSWORD=" + password}, nil
		}
	}
	return nil, errAuthorization
}

// bypass is NO_PROXY with the direct host, in both spellings: programs read one or
// the other. Without a proxy there is nothing to pass by.
func (e Environment) bypass(ours []string) []string {
	if e.Direct == "" || value(ours, "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy") == "" {
		return nil
	}
	hosts := value(ours, "no_proxy", "NO_PROXY")
	switch hosts {
	case "*":
		return nil
	case "":
		hosts = e.Direct
	default:
		hosts += "," + e.Direct
	}
	return []string{"NO_PROXY=" + hosts, "no_proxy=" + hosts}
}

// value is that of the first of the variables that has one.
func value(entries []string, variables ...string) string {
	for _, variable := range variables {
		for _, entry := range entries {
			if name, value, _ := strings.Cut(entry, "="); name == variable && value != "" {
				return value
			}
		}
	}
	return ""
}

// names reports whether one of the entries sets the variable.
func names(entries []string, variable string) bool {
	return slices.ContainsFunc(entries, func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return name == variable
	})
}

// holds goes by Windows's rule, where case does not count: elsewhere it costs
// nothing.
func holds(variables []string, name string) bool {
	return slices.ContainsFunc(variables, func(v string) bool { return strings.EqualFold(v, name) })
}
