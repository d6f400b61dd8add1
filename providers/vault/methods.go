package vault

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
)

const serviceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token" //nolint:gosec // a path, no token

// loginName names the way to log in that c leads to, in the order of precedence.
func (c Config) loginName() string {
	switch {
	case strings.TrimSpace(c.Token) != "":
		return "token"
	case strings.TrimSpace(c.RoleID) != "" || strings.TrimSpace(c.SecretID) != "":
		return "approle"
	case strings.TrimSpace(c.KubernetesRole) != "":
		return "kubernetes"
	}
	return "token file"
}

func (c Config) newLogin() (login, error) {
	mount, badMount := parseAuthMount(c.AuthMount)
	var how login
	var err error
	switch kind := c.loginName(); kind {
	case "token":
		how, err = newStatic(c.Token)
	case "approle":
		how, err = newAppRole(c.RoleID, c.SecretID, orDefault(mount, kind))
	case "kubernetes":
		how, err = newKubernetes(c.KubernetesRole, c.KubernetesTokenPath, orDefault(mount, kind))
	default:
		how, err = newTokenFile()
	}
	return how, env.Problems(badMount, err)
}

func orDefault(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

// static is a token that is given and stays.
type static struct{ lease *lease }

func newStatic(token string) (login, error) {
	token = strings.TrimSpace(token)
	if !isHeaderText(token) {
		return nil, badConfig("VAULT_TOKEN (Config.Token) contains white space or a character that cannot be sent",
			"export VAULT_TOKEN again, one line without quotes")
	}
	return static{newLease(token, 0)}, nil
}

func (l static) token(context.Context, *session, *lease) (*lease, error) { return l.lease, nil }

func (static) way() string { return "VAULT_TOKEN" }

func (static) cure() string {
	return "VAULT_TOKEN is expired, revoked or mistyped: check it with `vault token lookup`, then export a new one"
}

// tokenFile is what `vault login` writes. It is read every time, since the next
// `vault login` replaces it.
type tokenFile struct{ path string }

func newTokenFile() (login, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, errNoLogin()
	}
	l := tokenFile{filepath.Join(home, ".vault-token")}
	if _, err := l.read(); err != nil {
		return nil, err // now, rather than at the first fetch
	}
	return l, nil
}

func (l tokenFile) read() (string, error) {
	token, err := readToken(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && token == "":
		return "", errNoLogin()
	case err != nil:
		return "", badConfig("VAULT_TOKEN is unset, and the token file ~/.vault-token cannot be read", "make it a readable file: run `vault login`, or set VAULT_TOKEN")
	case !isHeaderText(token):
		return "", badConfig("VAULT_TOKEN is unset, and the token file ~/.vault-token does not hold a token", "run `vault login`, or set VAULT_TOKEN")
	}
	return token, nil
}

func (l tokenFile) token(_ context.Context, _ *session, rejected *lease) (*lease, error) {
	token, err := l.read()
	if err != nil {
		return nil, err
	}
	if rejected != nil && rejected.reveal() == token {
		return rejected, nil
	}
	return newLease(token, 0), nil
}

func (tokenFile) way() string { return "~/.vault-token" }

func (tokenFile) cure() string {
	return "the token in ~/.vault-token is expired or revoked: run `vault login`"
}

func errNoLogin() error {
	return badConfig("VAULT_TOKEN (Config.Token) is not set, and no other way to log in to Vault is configured",
		"export VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, or MLFLOW_VAULT_K8S_ROLE, or run `vault login`")
}

func newAppRole(roleID, secretID, mount string) (login, error) {
	roleID, secretID = strings.TrimSpace(roleID), strings.TrimSpace(secretID)
	var badRole, badSecret error
	switch {
	case roleID == "":
		badRole = badConfig("VAULT_ROLE_ID (Config.RoleID) is not set, but VAULT_SECRET_ID is",
			"export VAULT_ROLE_ID: `vault read auth/"+mount+"/role/NAME/role-id`")
	case !printable(roleID):
		badRole = badConfig("VAULT_ROLE_ID (Config.RoleID) contains a control character", "export it again, one line")
	}
	switch {
	case secretID == "":
		badSecret = badConfig("VAULT_SECRET_ID (Config.SecretID) is not set, but VAULT_ROLE_ID is",
			"export VAULT_SECRET_ID: `vault write -f auth/"+mount+"/role/NAME/secret-id`")
	case !printable(secretID):
		badSecret = badConfig("VAULT_SECRET_ID (Config.SecretID) contains a control character", "export it again, one line")
	}
	if err := env.Problems(badRole, badSecret); err != nil {
		return nil, err
	}
	cure := "VAULT_SECRET_ID may be expired or used up, or VAULT_ROLE_ID be of another role: make a new one with `vault write -f auth/" +
		mount + "/role/NAME/secret-id`"
	if looksWrapped(secretID) {
		cure = "VAULT_SECRET_ID looks like a wrapping token, which works once: take it out with `vault unwrap`, and export the secret id"
	}
	return &shared{method: method{
		name:  "AppRole",
		mount: mount,
		body: func() ([]byte, error) {
			return json.Marshal(map[string]string{"role_id": roleID, "secret_id": secretID})
		},
		cure: cure,
	}}, nil
}

// looksWrapped reports whether a secret id has the form of a token (S128).
func looksWrapped(secretID string) bool {
	return strings.HasPrefix(secretID, "hvs.") || strings.HasPrefix(secretID, "s.")
}

func newKubernetes(role, path, mount string) (login, error) {
	role, path = strings.TrimSpace(role), strings.TrimSpace(path)
	if !printable(role) {
		return nil, badConfig("MLFLOW_VAULT_K8S_ROLE (Config.KubernetesRole) contains a control character", "export it again, one line")
	}
	path = orDefault(path, serviceAccountToken)
	return &shared{method: method{
		name:  "Kubernetes",
		mount: mount,
		body: func() ([]byte, error) {
			jwt, err := readToken(path)
			if err != nil || jwt == "" {
				// Without the path, in whose place the token may have been set.
				return nil, badConfig("the service account's token file cannot be read, or is empty",
					"is this a pod with automountServiceAccountToken? else set MLFLOW_VAULT_K8S_TOKEN_PATH (default "+serviceAccountToken+")")
			}
			return json.Marshal(map[string]string{"role": role, "jwt": jwt})
		},
		cure: "the role of MLFLOW_VAULT_K8S_ROLE must name this pod's service account, namespace and audience: check `vault read auth/" +
			mount + "/role/ROLE`",
	}}, nil
}

// readToken reads a file that holds one token, trimmed.
func readToken(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // a path that the user configures
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return strings.TrimSpace(string(text)), err
}
