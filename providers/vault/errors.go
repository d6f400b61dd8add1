package vault

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// Errors are built of our own words, the configured address and path, and
// versions and times that were parsed. What Vault or anything in front of it
// says is never quoted: it may echo what it was sent (S162).

func newError(kind error, summary, fix string) error {
	return &secretsauth.Error{Provider: name, Kind: kind, Summary: summary, Fix: fix}
}

func badConfig(summary, fix string) error { return newError(secretsauth.ErrConfig, summary, fix) }

func denied(summary, fix string) error { return newError(secretsauth.ErrDenied, summary, fix) }

func unavailable(summary, fix string) error {
	return newError(secretsauth.ErrUnavailable, summary, fix)
}

func notFound(summary, fix string) error { return newError(secretsauth.ErrNotFound, summary, fix) }

// named gives an error the secret's key.
func (p *Provider) named(err error) error {
	e, ok := errors.AsType[*secretsauth.Error](err)
	if !ok {
		e = &secretsauth.Error{Kind: secretsauth.ErrUnavailable, Summary: fmt.Sprintf("unexpected failure (%T)", err)}
	}
	own := *e // an error of a shared login has several readers
	own.Provider, own.Key = name, p.Key()
	return &own
}

// noPath is the error that becomes the log line "Secret not found at path: …".
func (p *Provider) noPath(e engine) error {
	if p.target.version > 0 {
		return notFound(fmt.Sprintf("secret not found at path: %s (version %d)", p.target.path, p.target.version),
			fmt.Sprintf("see which versions there are with `vault kv metadata get %s`, or unset MLFLOW_VAULT_SECRET_VERSION", e.cliPath()))
	}
	return notFound("secret not found at path: "+p.target.path,
		fmt.Sprintf("look for it with `vault kv list %s`, correct MLFLOW_VAULT_SECRET_PATH, or store it with `vault kv put %s token=…`",
			parent(e), e.cliPath()))
}

func (p *Provider) noMount() error {
	return notFound("no secrets engine is mounted at the beginning of path "+p.target.path,
		"see the mounts with `vault secrets list` and correct MLFLOW_VAULT_SECRET_PATH (and VAULT_NAMESPACE)")
}

func (p *Provider) noNamespace() error {
	return notFound(fmt.Sprintf("namespace %q does not exist", p.target.namespace),
		"see the namespaces with `vault namespace list` and correct VAULT_NAMESPACE")
}

// goneVersion tells a version that can be brought back from one that cannot.
func (p *Provider) goneVersion(m metadata, e engine) error {
	if m.Destroyed {
		return notFound(fmt.Sprintf("version %d of %s was destroyed", m.Version, e.cliPath()),
			fmt.Sprintf("it cannot be brought back: store the secret again with `vault kv put %s token=…`, or pin another version", e.cliPath()))
	}
	return notFound(fmt.Sprintf("version %d of %s was deleted at %s", m.Version, e.cliPath(), m.deletion().UTC().Format(time.RFC3339)),
		fmt.Sprintf("run `vault kv undelete -versions=%d %s`", m.Version, e.cliPath()))
}

func (p *Provider) invalid(e engine, summary string) error {
	return newError(secretsauth.ErrInvalidSecret, summary, putFix(e))
}

func putFix(e engine) string {
	return fmt.Sprintf("store it again with `vault kv put %s token=…`, or username=… password=…", e.cliPath())
}

func (p *Provider) notKV(e engine) error {
	return badConfig("the secrets engine at "+e.mount+" is not a KV engine",
		"see which are with `vault secrets list` and correct MLFLOW_VAULT_SECRET_PATH")
}

func (p *Provider) noVersions(e engine) error {
	return badConfig("a version is set, but "+e.mount+" is KV version 1, which keeps none",
		"unset MLFLOW_VAULT_SECRET_VERSION, or `vault kv enable-versioning "+e.mount+"`")
}

// unexpected is an answer that means nothing here.
func (p *Provider) unexpected(a answer, e engine) error {
	switch {
	case a.page():
		return unavailable(fmt.Sprintf("%s answered %s with a web page", p.target.address, a.statusText()),
			"something in front of Vault answers in its place: check VAULT_ADDR and proxies")
	case a.says("HTTP request to an HTTPS server"):
		return badConfig("VAULT_ADDR begins with http://, but the server speaks https", "export VAULT_ADDR with https://")
	case a.status == http.StatusMethodNotAllowed:
		return p.notKV(e)
	case a.status >= 400 && a.status < 500:
		return badConfig(fmt.Sprintf("Vault refuses to read %s: %s", e.apiPath(), a.statusText()),
			"check MLFLOW_VAULT_SECRET_PATH and VAULT_NAMESPACE with `vault kv get "+e.cliPath()+"`")
	}
	return unavailable(fmt.Sprintf("Vault at %s answered %s", p.target.address, a.statusText()),
		"check that VAULT_ADDR is Vault's own address")
}

func parent(e engine) string {
	for i := len(e.name) - 1; i > 0; i-- {
		if e.name[i] == '/' {
			return e.mount + "/" + e.name[:i]
		}
	}
	return e.mount
}
