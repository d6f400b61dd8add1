package vault

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
)

// target is what a Config points at, checked and in one form.
type target struct {
	address   string // scheme, host and path prefix, never userinfo
	namespace string
	path      string // mount and name, as configured
	version   int    // 0: the latest
}

func (c Config) resolve() (target, error) {
	address, badAddress := parseAddress(c.Address)
	path, badPath := parsePath(c.SecretPath)
	namespace, badNamespace := parseNamespace(c.Namespace)
	var badVersion error
	if c.SecretVersion < 0 {
		badVersion = badConfig("MLFLOW_VAULT_SECRET_VERSION (Config.SecretVersion) is negative", "leave it zero for the latest version")
	}
	return target{address, namespace, path, c.SecretVersion}, env.Problems(badAddress, badPath, badNamespace, badVersion)
}

// key is the secret's name in logs and caches.
func (t target) key() string {
	key := "vault:" + t.address + ":" + t.path
	separator := "?"
	if t.version > 0 {
		key += fmt.Sprintf("?version=%d", t.version)
		separator = "&"
	}
	if t.namespace != "" {
		key += separator + "namespace=" + t.namespace
	}
	return key
}

// parseAddress brings VAULT_ADDR into one form. Its errors never quote it: it
// may hold userinfo (S153, S154).
func parseAddress(raw string) (string, error) {
	bad := func(what string) (string, error) {
		return "", badConfig("VAULT_ADDR (Config.Address) "+what, "export VAULT_ADDR=https://vault.company.com:8200")
	}
	raw = strings.TrimSpace(raw)
	if raw == "" {
		return bad("is not set")
	}
	if !strings.Contains(raw, "://") {
		return bad("has no scheme")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return bad("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("begins with neither https:// nor http://")
	case u.User != nil:
		return bad("holds a username or password, which Vault does not use")
	case u.Hostname() == "":
		return bad("has no host")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return bad("has a query or a fragment")
	case !printable(u.Host) || !printable(u.Path) || hasDots(u.Path):
		return bad("is not a plain URL")
	}
	prefix := strings.TrimRight(u.EscapedPath(), "/")
	prefix = strings.TrimRight(strings.TrimSuffix(prefix, "/v1"), "/") // the client adds /v1 itself
	return u.Scheme + "://" + u.Host + prefix, nil
}

// parsePath brings MLFLOW_VAULT_SECRET_PATH into one form.
func parsePath(raw string) (string, error) {
	bad := func(what string) (string, error) {
		return "", badConfig("MLFLOW_VAULT_SECRET_PATH (Config.SecretPath) "+what,
			"export MLFLOW_VAULT_SECRET_PATH=secret/mlflow/auth, the path that `vault kv get` takes")
	}
	path := strings.TrimPrefix(strings.TrimSpace(raw), "/")
	path = strings.TrimSuffix(strings.TrimPrefix(path, "v1/"), "/")
	switch {
	case path == "":
		return bad("is not set")
	case !printable(path):
		return bad("contains a control character")
	case strings.ContainsAny(path, "?#"):
		return bad("contains ? or #; a version goes into MLFLOW_VAULT_SECRET_VERSION")
	case strings.Contains(path, "://"):
		return bad("is a URL; the host goes into VAULT_ADDR")
	case hasDots(path) || slices.Contains(strings.Split(path, "/"), ""):
		return bad(`contains an empty segment, "." or ".."`)
	case !strings.Contains(path, "/"):
		return bad("has one segment; it needs a mount and a name")
	}
	return path, nil
}

func parseNamespace(raw string) (string, error) {
	namespace := strings.Trim(strings.TrimSpace(raw), "/")
	if !isHeaderText(namespace) || hasDots(namespace) {
		return "", badConfig("VAULT_NAMESPACE (Config.Namespace) is not a namespace", "export VAULT_NAMESPACE=admin/team")
	}
	return namespace, nil
}

// parseAuthMount takes "approle", "approle/" and "auth/approle" for the same.
func parseAuthMount(raw string) (string, error) {
	mount := strings.Trim(strings.TrimPrefix(strings.Trim(strings.TrimSpace(raw), "/"), "auth/"), "/")
	if !printable(mount) || hasDots(mount) || strings.ContainsAny(mount, "?#") || strings.Contains(mount, "//") {
		return "", badConfig("MLFLOW_VAULT_AUTH_MOUNT (Config.AuthMount) is not a mount", "use a path that `vault auth list` shows")
	}
	return mount, nil
}

// hasDots reports whether a segment would lead elsewhere.
func hasDots(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar })
}

// isHeaderText reports whether s can be a header's value and part of a token:
// printing ASCII without spaces.
func isHeaderText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
