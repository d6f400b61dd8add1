package azure

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/managedidentity"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
)

// chain is DefaultAzureCredential's: the same credentials in the same order, of
// which the first that gives a token is kept, and the same rules of when the next
// is tried. It is built here, of the SDK's credentials, because the SDK's own takes
// an empty variable for a setting and spaces for a part of it, and tells what it
// tried in one text that quotes answers.
type chain struct {
	sources []*source
	granted atomic.Pointer[grant] // its last token, and so which of sources is kept
}

// source is a credential of the chain.
type source struct {
	name    string
	cred    azcore.TokenCredential // nil: missing says why
	missing string
	tool    *tool // it asks a program, which may be there and of no use
}

// tool is a program of a developer, who is logged in with it.
type tool struct{ program, login string }

const (
	environment      = "EnvironmentCredential"
	workloadIdentity = "WorkloadIdentityCredential"
	managedIdentity  = "ManagedIdentityCredential"
	azureCLI         = "AzureCLICredential"
	developerCLI     = "AzureDeveloperCLICredential"
	powerShell       = "AzurePowerShellCredential"
)

var (
	deployed  = []string{environment, workloadIdentity, managedIdentity}
	developer = []string{azureCLI, developerCLI, powerShell}
)

// selectedCredentials reads AZURE_TOKEN_CREDENTIALS.
func selectedCredentials() ([]string, error) {
	all := append(append([]string{}, deployed...), developer...)
	switch choice := env.Get("AZURE_TOKEN_CREDENTIALS"); choice {
	case "":
		return all, nil
	case "prod":
		return deployed, nil
	case "dev":
		return developer, nil
	default:
		for _, one := range all {
			if strings.EqualFold(choice, one) {
				return []string{one}, nil
			}
		}
	}
	return nil, badConfig("AZURE_TOKEN_CREDENTIALS names no credential", "unset it, or use dev, prod or one of "+strings.Join(all, ", "))
}

func (l *link) newChain() (*chain, error) {
	names, err := selectedCredentials()
	if err != nil {
		return nil, err
	}
	s := settings{
		link:     l,
		tenant:   env.Get("AZURE_TENANT_ID"),
		clientID: env.Get("AZURE_CLIENT_ID"),
		probe:    len(names) > 1,
	}
	for tenant := range strings.SplitSeq(env.Get("AZURE_ADDITIONALLY_ALLOWED_TENANTS"), ";") {
		if tenant = strings.TrimSpace(tenant); tenant != "" {
			s.tenants = append(s.tenants, tenant)
		}
	}
	build := map[string]func() *source{
		environment:      s.environment,
		workloadIdentity: s.workloadIdentity,
		managedIdentity:  s.managedIdentity,
		azureCLI:         s.azureCLI,
		developerCLI:     s.developerCLI,
		powerShell:       s.powerShell,
	}
	c := new(chain)
	for _, one := range names {
		found := build[one]()
		found.name = one
		c.sources = append(c.sources, found)
	}
	return c, nil
}

// GetToken asks the credential that is kept, or one after the other.
func (c *chain) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	sources := c.sources
	if before := c.granted.Load(); before != nil {
		sources = []*source{before.source}
	}
	failed := &loginError{chosen: len(sources) == 1}
	for _, s := range sources {
		if s.cred == nil {
			failed.tried = append(failed.tried, attempt{name: s.name, why: s.missing})
			continue
		}
		seen := recordOf(ctx)
		seen.set(nil)
		token, err := s.cred.GetToken(ctx, opts)
		if err == nil {
			c.granted.Store(newGrant(s, opts.TenantID, token))
			return token, nil
		}
		if ctx.Err() != nil {
			return azcore.AccessToken{}, ctx.Err()
		}
		a := s.explain(opts.TenantID, seen.last(), err)
		failed.tried = append(failed.tried, a)
		if a.kind != nil && s.tool == nil {
			failed.stopped = true // the next would be somebody else
			break
		}
	}
	return azcore.AccessToken{}, failed
}

// settings are those of one look at the environment.
type settings struct {
	*link
	tenant, clientID string
	tenants          []string
	probe            bool
}

func (s *settings) environment() *source {
	secret, file := env.Get("AZURE_CLIENT_SECRET"), env.Get("AZURE_CLIENT_CERTIFICATE_PATH")
	switch {
	case s.tenant == "":
		return &source{missing: "AZURE_TENANT_ID is not set"}
	case s.clientID == "":
		return &source{missing: "AZURE_CLIENT_ID is not set"}
	case secret != "":
		cred, err := azidentity.NewClientSecretCredential(s.tenant, s.clientID, secret, &azidentity.ClientSecretCredentialOptions{
			ClientOptions: s.options(), AdditionallyAllowedTenants: s.tenants, DisableInstanceDiscovery: s.noDiscovery,
		})
		return s.made(cred, err)
	case file == "":
		return &source{missing: "neither AZURE_CLIENT_SECRET nor AZURE_CLIENT_CERTIFICATE_PATH is set"}
	}
	data, err := os.ReadFile(file) //nolint:gosec // the file is the user's own choice
	if err != nil {
		return &source{missing: "the file of AZURE_CLIENT_CERTIFICATE_PATH cannot be read"}
	}
	var password []byte
	if text := env.Get("AZURE_CLIENT_CERTIFICATE_PASSWORD"); text != "" {
		password = []byte(text)
	}
	certificates, key, err := azidentity.ParseCertificates(data, password)
	if err != nil {
		return &source{missing: "the file of AZURE_CLIENT_CERTIFICATE_PATH is no certificate with its key, in PEM or PKCS#12, or AZURE_CLIENT_CERTIFICATE_PASSWORD is wrong"}
	}
	send := env.Get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN")
	cred, err := azidentity.NewClientCertificateCredential(s.tenant, s.clientID, certificates, key, &azidentity.ClientCertificateCredentialOptions{
		ClientOptions: s.options(), AdditionallyAllowedTenants: s.tenants, DisableInstanceDiscovery: s.noDiscovery,
		SendCertificateChain: send == "1" || strings.EqualFold(send, "true"),
	})
	return s.made(cred, err)
}

func (s *settings) workloadIdentity() *source {
	file := env.Get("AZURE_FEDERATED_TOKEN_FILE")
	switch {
	case file == "":
		return &source{missing: "AZURE_FEDERATED_TOKEN_FILE is not set"}
	case s.tenant == "":
		return &source{missing: "AZURE_TENANT_ID is not set"}
	case s.clientID == "":
		return &source{missing: "AZURE_CLIENT_ID is not set"}
	}
	cred, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: s.options(), AdditionallyAllowedTenants: s.tenants, DisableInstanceDiscovery: s.noDiscovery,
		TenantID: s.tenant, ClientID: s.clientID, TokenFilePath: file,
	})
	return s.made(cred, err)
}

func (s *settings) managedIdentity() *source {
	options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: s.options()}
	options.Retry.ShouldRetry = nil // its own list: virtual machines answer 404 and 410 for a while
	if s.clientID != "" {
		options.ID = azidentity.ClientID(s.clientID)
	}
	cred, err := azidentity.NewManagedIdentityCredential(options)
	if err != nil {
		return &source{missing: "this kind of machine takes no AZURE_CLIENT_ID"}
	}
	// In a chain of the SDK's it tells an answer that is none of a managed
	// identity's, such as a proxy's, from a refusal.
	alone, err := azidentity.NewChainedTokenCredential([]azcore.TokenCredential{cred}, &azidentity.ChainedTokenCredentialOptions{RetrySources: true})
	if err != nil {
		return &source{missing: "the SDK refuses it"}
	}
	identity := &identity{TokenCredential: alone}
	if where, err := managedidentity.GetSource(); s.probe && err == nil && where == managedidentity.DefaultToIMDS {
		identity.probe = s.http
	}
	return &source{cred: identity}
}

// identity asks first whether anybody listens at the address of virtual machines,
// as DefaultAzureCredential does: elsewhere it may take minutes to fail.
type identity struct {
	azcore.TokenCredential
	probe *http.Client // nil: no need to ask
	there atomic.Bool
}

// unavailable is a credential that is not to be had here.
type unavailable string

func (u unavailable) Error() string { return string(u) }

const (
	metadata     = "http://169.254.169.254/metadata/identity/oauth2/token"
	probeTimeout = time.Second
)

func (i *identity) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if i.probe != nil && !i.there.Load() {
		asked, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(asked, http.MethodGet, metadata, nil)
		if err != nil {
			return azcore.AccessToken{}, err
		}
		resp, err := i.probe.Do(req)
		if err != nil {
			return azcore.AccessToken{}, unavailable("no managed identity endpoint answers at 169.254.169.254")
		}
		_ = resp.Body.Close() // any answer will do: this request lacks what makes it valid
		i.there.Store(true)
	}
	if recordOf(ctx).anew {
		// The SDK keeps the tokens of managed identities for the whole process. Claims,
		// which it does not send here, have it ask for another.
		opts.Claims = "{}"
	}
	return i.TokenCredential.GetToken(ctx, opts)
}

func (s *settings) azureCLI() *source {
	cred, err := azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{AdditionallyAllowedTenants: s.tenants})
	return s.asked(&tool{"az", "az login"}, cred, err)
}

func (s *settings) developerCLI() *source {
	cred, err := azidentity.NewAzureDeveloperCLICredential(&azidentity.AzureDeveloperCLICredentialOptions{AdditionallyAllowedTenants: s.tenants})
	return s.asked(&tool{"azd", "azd auth login"}, cred, err)
}

func (s *settings) powerShell() *source {
	cred, err := azidentity.NewAzurePowerShellCredential(&azidentity.AzurePowerShellCredentialOptions{AdditionallyAllowedTenants: s.tenants})
	return s.asked(&tool{"pwsh", "Connect-AzAccount"}, cred, err)
}

func (s *settings) asked(t *tool, cred azcore.TokenCredential, err error) *source {
	made := s.made(cred, err)
	made.tool = t
	return made
}

// made takes what a constructor of the SDK returns. The ids are all that it can
// refuse here.
func (s *settings) made(cred azcore.TokenCredential, err error) *source {
	if err != nil {
		return &source{missing: "AZURE_TENANT_ID or AZURE_CLIENT_ID is not an id"}
	}
	return &source{cred: cred}
}
