package azure

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
)

// Errors are built of our own words, the vault's address, the secret's name, times
// and codes of Azure's that are known. Azure's messages are looked at and never
// quoted (S162).

func badConfig(summary, fix string) error {
	return &secretsauth.Error{Provider: name, Kind: secretsauth.ErrConfig, Summary: summary, Fix: fix}
}

func (p *Provider) failure(kind error, summary, fix string, cause error) *secretsauth.Error {
	return &secretsauth.Error{Provider: name, Key: p.Key(), Kind: kind, Summary: summary, Fix: fix, Cause: cause}
}

// named gives an error of the configuration the secret's key.
func (p *Provider) named(err error) error {
	if e, ok := errors.AsType[*secretsauth.Error](err); ok {
		return p.failure(e.Kind, e.Summary, e.Fix, e.Cause)
	}
	return err
}

// explain turns what the SDK says into an error that says what to do.
func (p *Provider) explain(ctx context.Context, seen *record, err error) error {
	login, atLogin := errors.AsType[*loginError](err)
	answered, ok := errors.AsType[*azcore.ResponseError](err)
	switch {
	case ctx.Err() != nil:
		return p.failure(secretsauth.ErrUnavailable, "no answer from Azure in time for "+p.target.address,
			"check that it can be reached: `curl "+p.target.address+"/healthstatus`", ctx.Err())
	case atLogin:
		return p.loginFailed(login)
	case ok && answered.RawResponse != nil:
		failure := p.refused(answered)
		failure.Wait = httpanswer.RetryAfter(answered.RawResponse.Header, time.Now())
		return failure
	case errors.Is(seen.last(), errNotKeyVault), strings.Contains(err.Error(), "WWW-Authenticate"): // the SDK has no error of its own for it
		return p.failure(secretsauth.ErrDenied, p.target.address+" answered 401 Unauthorized, and not as Key Vault does", proxies, nil)
	case seen.last() != nil:
		return p.unreachable(seen.last())
	case strings.Contains(err.Error(), "challenge resource"):
		return p.failure(secretsauth.ErrConfig, p.target.address+" asks for a token of another service than Key Vault, and got none",
			"check MLFLOW_AZURE_KEY_VAULT_URL, DNS and proxies: who answers is not Key Vault", nil)
	}
	return p.foreign("gave no usable answer")
}

const proxies = "something in front of Key Vault may answer in its place: check MLFLOW_AZURE_KEY_VAULT_URL and proxies"

// foreign is an answer that means nothing here.
func (p *Provider) foreign(what string) *secretsauth.Error {
	return p.failure(secretsauth.ErrUnavailable, p.target.address+" "+what,
		proxies, nil)
}

// problem is Key Vault's form of an error.
type problem struct {
	Error struct {
		Code       string `json:"code"`
		Message    string `json:"message"`
		InnerError struct {
			Code string `json:"code"`
		} `json:"innererror"`
	} `json:"error"`
}

func problemOf(resp *http.Response) problem {
	var v problem
	if body, err := runtime.Payload(resp); err != nil || json.Unmarshal(body, &v) != nil {
		return problem{}
	}
	return v
}

func (v problem) says(text string) bool {
	return strings.Contains(strings.ToLower(v.Error.Message), strings.ToLower(text))
}

func (p *Provider) refused(answered *azcore.ResponseError) *secretsauth.Error {
	v, t := problemOf(answered.RawResponse), p.target
	status := fmt.Sprintf("%d %s", answered.StatusCode, http.StatusText(answered.StatusCode))
	switch code := answered.StatusCode; {
	case code == http.StatusNotFound && v.Error.Code == "":
		return p.foreign("answered " + status + ", and not as Key Vault does")
	case code == http.StatusNotFound && v.says("not allowed on a disabled"): // Lowkey Vault's answer; Key Vault's is 403
		return p.disabled()
	case code == http.StatusNotFound && t.version != "":
		return p.failure(secretsauth.ErrNotFound, fmt.Sprintf("secret not found at path: %s (version %s)", t.path(), t.version),
			fmt.Sprintf("see which versions there are with `az keyvault secret list-versions --vault-name %s --name %s`, or unset MLFLOW_AZURE_SECRET_VERSION", t.cli(), t.name), nil)
	case code == http.StatusNotFound:
		return p.failure(secretsauth.ErrNotFound, "secret not found at path: "+t.path(),
			fmt.Sprintf("look for it with `az keyvault secret list --vault-name %s`, and among the deleted with list-deleted; correct MLFLOW_AZURE_SECRET_NAME, or store it with `%s`", t.cli(), t.set()), nil)
	case code == http.StatusForbidden:
		return p.forbidden(v)
	case code == http.StatusUnauthorized && v.Error.Code == "":
		return p.failure(secretsauth.ErrDenied, t.address+" answered "+status+", and not as Key Vault does", proxies, nil)
	case code == http.StatusUnauthorized:
		return p.unauthorized(v, status)
	case code == http.StatusTooManyRequests:
		return p.failure(secretsauth.ErrUnavailable, "Key Vault at "+t.address+" limits the rate: "+status,
			"raise MLFLOW_AZURE_TTL_SEC, or spread the readers over several vaults", nil)
	case code >= 300 && code < 400:
		return p.foreign("answered with a redirect (" + status + "), which is not followed")
	case code >= 400 && code < 500 && code != http.StatusRequestTimeout:
		return p.failure(secretsauth.ErrConfig, "Key Vault refuses the request: "+status,
			"check MLFLOW_AZURE_SECRET_NAME and MLFLOW_AZURE_SECRET_VERSION", nil)
	case code >= 200 && code < 300:
		return p.foreign("gave no usable answer")
	}
	return p.failure(secretsauth.ErrUnavailable, "Key Vault at "+t.address+" answered "+status, "see https://azure.status.microsoft", nil)
}

// forbidden tells the reasons of a 403 apart, each with its own cure.
func (p *Provider) forbidden(v problem) *secretsauth.Error {
	const failed = "access denied by Key Vault: "
	t := p.target
	denied := func(summary, fix string) *secretsauth.Error {
		return p.failure(secretsauth.ErrDenied, summary, fix, nil)
	}
	switch inner := v.Error.InnerError.Code; {
	case inner == "SecretDisabled", v.says("disabled secret"):
		return p.disabled()
	case inner == "SecretExpired":
		return p.invalid("has expired", p.setSecret())
	case inner == "SecretNotYetValid":
		return p.invalid("is not valid yet", "wait, check the machine's clock, or "+p.setAttributes("--not-before DATE"))
	case inner == "ForbiddenByRbac":
		return denied(failed+"no role allows to read "+t.path()+" (ForbiddenByRbac)", fmt.Sprintf(
			`az role assignment create --role "Key Vault Secrets User" --assignee %s --scope "$(az keyvault show --name %s --query id --output tsv)/secrets/%s"; it takes effect within minutes`, p.caller(), t.cli(), t.name))
	case inner == "AccessDenied", inner == "ForbiddenByPolicy", v.says("secrets get permission"):
		return denied(failed+"no access policy allows to read secrets of "+t.address+" (AccessDenied)", fmt.Sprintf(
			"az keyvault set-policy --name %s --object-id %s --secret-permissions get", t.cli(), p.caller()))
	case inner == "ForbiddenByFirewall", v.says("client address is not authorized"):
		return denied(failed+"the firewall of "+t.address+" does not let this address in (ForbiddenByFirewall)", fmt.Sprintf(
			"az keyvault network-rule add --name %s --ip-address ADDRESS, or --vnet-name with --subnet", t.cli()))
	case inner == "ForbiddenByConnection", v.says("public network access is disabled"):
		return denied(failed+t.address+" is closed to the public network (ForbiddenByConnection)", fmt.Sprintf(
			"run where its private endpoint is reached and DNS leads to it, or az keyvault update --name %s --public-network-access Enabled", t.cli()))
	case v.Error.Code == "":
		return denied(t.address+" answered 403 Forbidden, and not as Key Vault does", proxies)
	}
	return denied(failed+"403 Forbidden", "see the vault's roles, access policies and network rules: `az keyvault show --name "+t.cli()+"`")
}

// caller is the object id of who reads, or a word in its place.
func (p *Provider) caller() string {
	if s := p.session.Load(); s != nil {
		if g := s.login.granted.Load(); g != nil && g.Object != "" {
			return g.Object
		}
	}
	return "IDENTITY"
}

// The codes of Key Vault for tokens.
var akv = regexp.MustCompile(`AKV([0-9]{5})\b`)

func (p *Provider) unauthorized(v problem, status string) *secretsauth.Error {
	summary, fix := "Azure authentication failed: Key Vault does not accept the token: "+status, "check the machine's clock, and that AZURE_AUTHORITY_HOST and the vault are of one cloud"
	if found := akv.FindStringSubmatch(v.Error.Message); found != nil {
		summary += " (AKV" + found[1] + ")"
		if found[1] == "10032" {
			fix = "the token is of another tenant than the vault: export AZURE_TENANT_ID of the vault (`az keyvault show --name " + p.target.cli() + " --query properties.tenantId`)"
		}
	}
	return p.failure(secretsauth.ErrDenied, summary, fix, nil)
}

func (p *Provider) disabled() *secretsauth.Error {
	return p.failure(secretsauth.ErrDenied, "secret "+p.target.path()+" is disabled", p.setAttributes("--enabled true"), nil)
}

func (p *Provider) invalid(what, fix string) *secretsauth.Error {
	return p.failure(secretsauth.ErrInvalidSecret, "secret "+p.target.path()+" "+what, fix, nil)
}

func (p *Provider) setSecret() string { return "store it again: " + p.target.set() }

func (t target) set() string {
	return fmt.Sprintf(`az keyvault secret set --vault-name %s --name %s --value '{"token":"…"}'`, t.cli(), t.name)
}

func (p *Provider) setAttributes(what string) string {
	command := fmt.Sprintf("az keyvault secret set-attributes --vault-name %s --name %s", p.target.cli(), p.target.name)
	if p.target.version != "" {
		command += " --version " + p.target.version
	}
	return command + " " + what
}

// unreachable is a request to the vault without an answer.
func (p *Provider) unreachable(err error) *secretsauth.Error {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, dns := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return p.failure(secretsauth.ErrConfig, "MLFLOW_AZURE_KEY_VAULT_URL begins with https://, but the server speaks plain http", "export it with http://", nil)
	case certificate:
		return p.failure(secretsauth.ErrUnavailable, "the certificate of "+p.target.address+" is not trusted",
			"export SSL_CERT_FILE with the certificate of its authority; a proxy may open the connection", netcause.Of(err))
	case dns:
		return p.failure(secretsauth.ErrUnavailable, "the name of "+p.target.address+" does not resolve",
			"check MLFLOW_AZURE_KEY_VAULT_URL (`az keyvault list --query [].properties.vaultUri`) and DNS", netcause.Of(err))
	}
	return p.failure(secretsauth.ErrUnavailable, "cannot reach Key Vault at "+p.target.address,
		"check the network: `curl "+p.target.address+"/healthstatus`", netcause.Of(err))
}
