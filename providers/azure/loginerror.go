package azure

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/httpanswer"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
)

// loginError is a login that gave no token.
type loginError struct {
	tried   []attempt
	stopped bool // the last one ended the search
	chosen  bool // there was one credential to try, or one is in use
}

// attempt is a credential that was tried. Its texts are this package's own words.
type attempt struct {
	name  string
	why   string
	kind  error // nil: the credential is not set up, or not here
	fix   string
	cause error
	wait  time.Duration
}

func (*loginError) Error() string { return "no token" }

// decisive is the attempt that counts, if any: the one that ended the search, or
// the only one.
func (e *loginError) decisive() (attempt, bool) {
	last := e.tried[len(e.tried)-1]
	return last, last.kind != nil && (e.stopped || e.chosen)
}

// kind is that of the decisive attempt. Without one it is for the user to set up a
// credential: waiting does not help.
func (e *loginError) kind() error {
	if last, ok := e.decisive(); ok {
		return last.kind
	}
	return secretsauth.ErrConfig
}

// loginFailed says which credentials were tried and why each failed.
func (p *Provider) loginFailed(e *loginError) *secretsauth.Error {
	const failed = "Azure authentication failed: "
	list := make([]string, len(e.tried))
	for i, a := range e.tried {
		list[i] = a.name + ": " + a.why
	}
	last, ok := e.decisive()
	if !ok {
		return p.failure(secretsauth.ErrConfig, failed+"no credential is available; tried "+strings.Join(list, "; "),
			"give the machine or pod an identity, or export AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or run `az login`", nil)
	}
	summary := failed + list[len(list)-1]
	if len(list) > 1 {
		summary += "; tried before: " + strings.Join(list[:len(list)-1], "; ")
	}
	failure := p.failure(last.kind, summary, last.fix, last.cause)
	failure.Wait = last.wait
	return failure
}

// explain turns what the SDK says of a credential into words of our own; asked is
// the tenant of the vault, sent what became of the last request.
func (s *source) explain(asked string, sent, err error) attempt {
	a := attempt{name: s.name, kind: secretsauth.ErrDenied, fix: "see what the credential needs: https://aka.ms/azsdk/go/identity/troubleshoot"}
	if none, ok := errors.AsType[unavailable](err); ok {
		return attempt{name: s.name, why: string(none)}
	}
	text := err.Error()
	if s.tool != nil {
		s.tool.explain(&a, text)
		return a
	}
	refused, failed := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if s.name == managedIdentity && !failed {
		return attempt{name: s.name, why: "there is no managed identity here"}
	}
	switch {
	case strings.Contains(text, "acquire tokens for tenant"):
		a.kind = secretsauth.ErrConfig
		a.why = "the vault belongs to another tenant than AZURE_TENANT_ID" + shownTenant(asked)
		a.fix = "export AZURE_TENANT_ID of the vault, or name its tenant in AZURE_ADDITIONALLY_ALLOWED_TENANTS"
	case s.name == workloadIdentity && unreadable(env.Get("AZURE_FEDERATED_TOKEN_FILE")):
		a.kind = secretsauth.ErrConfig
		a.why = "the file of AZURE_FEDERATED_TOKEN_FILE cannot be read"
		a.fix = "check the pod's label azure.workload.identity/use and its service account"
	case failed && refused.RawResponse != nil:
		s.answered(&a, refused.RawResponse, text)
	case a.codes(text):
	case sent != nil:
		a.kind, a.why, a.cause = secretsauth.ErrUnavailable, "the login cannot be reached", netcause.Of(sent)
		a.fix = "check the network and AZURE_AUTHORITY_HOST"
		if s.name == managedIdentity {
			a.why, a.fix = "the managed identity endpoint cannot be reached", "check IDENTITY_ENDPOINT and the identity of the machine"
		}
	default:
		a.kind, a.why = secretsauth.ErrUnavailable, "the login gave no usable answer"
		a.fix = "check AZURE_AUTHORITY_HOST and proxies"
	}
	return a
}

// shownTenant shows a tenant's id as far as it is one: Key Vault named it.
func shownTenant(tenant string) string {
	if tenant = shownID(tenant); tenant == "" {
		return ""
	}
	return ": " + tenant
}

func unreadable(file string) bool {
	_, err := os.ReadFile(file) //nolint:gosec // the file is the user's own choice
	return err != nil
}

// answered explains a refusal.
func (s *source) answered(a *attempt, resp *http.Response, text string) {
	status := fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	switch {
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 || resp.StatusCode < 400:
		a.kind, a.why, a.wait = secretsauth.ErrUnavailable, "the login answered "+status, httpanswer.RetryAfter(resp.Header, time.Now())
		a.fix = "see https://status.entra.microsoft.com and AZURE_AUTHORITY_HOST"
	case s.name == managedIdentity && env.Get("AZURE_CLIENT_ID") != "":
		a.why = "the identity of AZURE_CLIENT_ID is not assigned to this machine (" + status + ")"
		a.fix = "assign it (`az vm identity assign --identities …`, `az webapp identity assign …`), or correct AZURE_CLIENT_ID: it is the identity's client id"
	case s.name == managedIdentity:
		a.why = "this machine has no system-assigned identity (" + status + ")"
		a.fix = "turn it on (`az vm identity assign`, `az webapp identity assign`), or export AZURE_CLIENT_ID of a user-assigned one"
	case a.codes(text):
	default:
		a.why = "the login is refused (" + status + ")"
	}
}

// The codes of Microsoft Entra ID.
var aadsts = regexp.MustCompile(`AADSTS([0-9]{5,7})\b`)

// meanings are those that come up where a program logs in.
var meanings = []struct {
	codes    []string
	kind     error
	why, fix string
}{
	{[]string{"7000215"}, secretsauth.ErrDenied, "the client secret is not accepted",
		"export AZURE_CLIENT_SECRET with the value of a secret, not its id: `az ad app credential reset --id \"$AZURE_CLIENT_ID\" --append`"},
	{[]string{"7000222"}, secretsauth.ErrDenied, "the client secret has expired",
		"make a new one and export it as AZURE_CLIENT_SECRET: `az ad app credential reset --id \"$AZURE_CLIENT_ID\" --append`"},
	{[]string{"700016"}, secretsauth.ErrDenied, "there is no application of this id in the tenant",
		"correct AZURE_CLIENT_ID or AZURE_TENANT_ID: `az ad app show --id \"$AZURE_CLIENT_ID\"`"},
	{[]string{"90002", "900023"}, secretsauth.ErrDenied, "there is no such tenant",
		"correct AZURE_TENANT_ID (`az account show --query tenantId`); in another cloud set AZURE_AUTHORITY_HOST"},
	{[]string{"700027"}, secretsauth.ErrDenied, "the certificate is not one of the application's",
		"upload it: `az ad app credential reset --id \"$AZURE_CLIENT_ID\" --append --cert @FILE`"},
	{[]string{"700024"}, secretsauth.ErrDenied, "the login is out of its time", "check the machine's clock"},
	{[]string{"70021", "700211", "700212", "700213"}, secretsauth.ErrDenied, "no federated credential of the application matches this pod's service account",
		"compare issuer and subject: `az identity federated-credential list`, or `az ad app federated-credential list --id \"$AZURE_CLIENT_ID\"`"},
	{[]string{"7000112", "50057"}, secretsauth.ErrDenied, "the application or account is disabled", "enable it: `az ad sp show --id \"$AZURE_CLIENT_ID\"`"},
	{[]string{"53003", "530003"}, secretsauth.ErrDenied, "a conditional access policy refuses the login", "ask who administers conditional access"},
	{[]string{"50076", "50079", "50078"}, secretsauth.ErrDenied, "a second factor is wanted", "log in anew, or use an identity that is not a person's"},
	{[]string{"50173", "700082", "70043", "70008", "50132"}, secretsauth.ErrDenied, "the session has expired", "log in anew"},
	{[]string{"500011"}, secretsauth.ErrDenied, "the tenant does not know Key Vault of this cloud", "let AZURE_AUTHORITY_HOST and the vault be of one cloud"},
	{[]string{"50196", "90033", "90055"}, secretsauth.ErrUnavailable, "the login is busy", "try again later"},
}

// codes explains the first of the codes that text holds, if any.
func (a *attempt) codes(text string) bool {
	found := aadsts.FindStringSubmatch(text)
	if found == nil {
		return false
	}
	a.why = "the login is refused"
	for _, m := range meanings {
		if slices.Contains(m.codes, found[1]) {
			a.kind, a.why, a.fix = m.kind, m.why, m.fix
		}
	}
	a.why += " (AADSTS" + found[1] + ")"
	return true
}

func (t *tool) explain(a *attempt, text string) {
	a.fix = "run `" + t.login + "`"
	switch {
	case strings.Contains(text, "executable not found"):
		a.kind, a.why, a.fix = nil, t.program+" is not installed", ""
	case strings.Contains(text, "Az.Account module not found"):
		a.kind, a.why, a.fix = nil, "the module Az.Accounts is not installed", ""
	case a.codes(text):
	case strings.Contains(text, t.login), strings.Contains(text, "acquire tokens for tenant"):
		a.why = "nobody is logged in: `" + t.login + "`"
	default:
		a.why = t.program + " gave no token"
	}
}
