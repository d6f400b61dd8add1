package azure_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

// fromEnv is a provider as a program makes it, with the stand-in for a network.
func fromEnv(t *testing.T, s *standin) netted {
	t.Helper()
	cfg, err := azure.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	cfg.HTTPClient, cfg.MaxAttempts = &http.Client{Transport: s}, 1
	return newProvider(t, cfg)
}

// pemOf is a certificate that is good for tests, with its key.
func pemOf(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestLogins(t *testing.T) {
	certificate := writeFile(t, "app.pem", pemOf(t), 0o600)
	federated := writeFile(t, "token", "service-account-token", 0o600)
	const identity = "http://identity.test/msi/token"
	for _, c := range []struct {
		name  string
		vars  map[string]string
		login map[string]string // of the form, or of the query of a managed identity; "*": anything
		host  string            // asked for the token
	}{
		{"client secret", servicePrincipal("AZURE_CLIENT_SECRET", " "+ourSecret+" \n"),
			map[string]string{"client_secret": ourSecret, "client_id": "app", "scope": "https://vault.azure.net/.default openid offline_access profile"}, "login.microsoftonline.com"},
		{"spaces around all", servicePrincipal("AZURE_TENANT_ID", " "+tenant+" ", "AZURE_CLIENT_ID", " app\n", "AZURE_CLIENT_SECRET", " "+ourSecret),
			map[string]string{"client_secret": ourSecret, "client_id": "app"}, "login.microsoftonline.com"},
		{"certificate", servicePrincipal("AZURE_CLIENT_CERTIFICATE_PATH", " "+certificate+" ", "AZURE_CLIENT_SECRET", " "),
			map[string]string{"client_assertion": "*", "client_id": "app"}, "login.microsoftonline.com"},
		{"workload identity", servicePrincipal("AZURE_FEDERATED_TOKEN_FILE", federated),
			map[string]string{"client_assertion": "service-account-token", "client_id": "app"}, "login.microsoftonline.com"},
		{"the secret comes before workload identity", servicePrincipal("AZURE_FEDERATED_TOKEN_FILE", federated, "AZURE_CLIENT_SECRET", ourSecret),
			map[string]string{"client_secret": ourSecret}, "login.microsoftonline.com"},
		{"system-assigned identity", minimal("IDENTITY_ENDPOINT", identity, "IDENTITY_HEADER", "identity-header", "AZURE_CLIENT_ID", " "),
			map[string]string{}, ""}, // its token may be in the SDK's cache, which all of a process share
		{"user-assigned identity", minimal("IDENTITY_ENDPOINT", identity, "IDENTITY_HEADER", "identity-header", "AZURE_CLIENT_ID", " "+rand.Text()+" "),
			map[string]string{"client_id": "*", "resource": "https://vault.azure.net"}, "identity.test"},
		{"empty variables are none", minimal("IDENTITY_ENDPOINT", identity, "IDENTITY_HEADER", "identity-header", "AZURE_CLIENT_ID", "", "AZURE_TENANT_ID", tenant,
			"AZURE_FEDERATED_TOKEN_FILE", "", "AZURE_TOKEN_CREDENTIALS", "", "AZURE_AUTHORITY_HOST", ""), map[string]string{}, ""},
		{"one credential picked", servicePrincipal("IDENTITY_ENDPOINT", identity, "IDENTITY_HEADER", "identity-header", "AZURE_CLIENT_SECRET", ourSecret,
			"AZURE_CLIENT_ID", rand.Text(), "AZURE_TOKEN_CREDENTIALS", " managedidentitycredential "), map[string]string{"resource": "https://vault.azure.net"}, "identity.test"},
		{"China", servicePrincipal("AZURE_CLIENT_SECRET", ourSecret, "MLFLOW_AZURE_KEY_VAULT_URL", "https://my-vault.vault.azure.cn"),
			map[string]string{"client_secret": ourSecret, "scope": "https://vault.azure.cn/.default openid offline_access profile"}, "login.chinacloudapi.cn"},
		{"US Government", servicePrincipal("AZURE_CLIENT_SECRET", ourSecret, "MLFLOW_AZURE_KEY_VAULT_URL", "https://my-vault.vault.usgovcloudapi.net"),
			map[string]string{"client_secret": ourSecret}, "login.microsoftonline.us"},
		{"an authority that is set", servicePrincipal("AZURE_CLIENT_SECRET", ourSecret, "AZURE_AUTHORITY_HOST", " login.microsoftonline.us/ "),
			map[string]string{"client_secret": ourSecret}, "login.microsoftonline.us"},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, c.vars)
			s := newStandin()
			s.put(ourSecret)
			for _, cloud := range []string{"vault.azure.cn", "vault.usgovcloudapi.net"} {
				if strings.HasSuffix(c.vars["MLFLOW_AZURE_KEY_VAULT_URL"], cloud) {
					s.challenge = strings.Replace(s.challenge, "vault.azure.net", cloud, 1)
				}
			}
			var host string
			var got url.Values
			s.login = func(req *http.Request, form url.Values) reply {
				host, got = req.URL.Host, form
				return granted()
			}
			answer := s.identity
			s.identity = func(query url.Values) reply {
				host, got = "identity.test", query
				return answer(query)
			}
			p := fromEnv(t, s)
			for range 3 {
				if fetchToken(t, p) != ourSecret {
					t.Error("wrong secret")
				}
			}
			if c.host != "" && (host != c.host || s.count("POST ") > 1) {
				t.Errorf("%q was asked for a token, want %q; %d logins", host, c.host, s.count("POST "))
			}
			for name, want := range c.login {
				if value := got.Get(name); want != "*" && value != want || value == "" {
					t.Errorf("%s is %q, want %q", name, value, want)
				}
			}
			if strings.Contains(c.name, "user-assigned") && got.Get("client_id") != strings.TrimSpace(c.vars["AZURE_CLIENT_ID"]) {
				t.Errorf("another identity was asked for: %q", got)
			}
		})
	}
}

func TestPrograms(t *testing.T) {
	answers := map[string]string{
		"az":   `echo '{"accessToken":"token-of-az","expires_on":4102444800}'`,
		"azd":  `echo '{"token":"token-of-azd","expiresOn":"2100-01-01T00:00:00Z"}'`,
		"none": "exit 1",
	}
	for program, script := range answers {
		t.Run(program, func(t *testing.T) {
			setenv(t, minimal())
			dir := t.TempDir()
			t.Setenv("PATH", dir)
			file := filepath.Join(dir, program)
			if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			s := newStandin()
			s.put(ourSecret)
			p := fromEnv(t, s)
			if program == "none" {
				_, err := p.Fetch(t.Context())
				wantError(t, err, secretsauth.ErrConfig)
				return
			}
			fetchToken(t, p)
			if got := s.tokens[len(s.tokens)-1]; got != "token-of-"+program {
				t.Errorf("token %q", got)
			}
			// It logs out: the credential in use is what fails now.
			if err := os.WriteFile(file, []byte("#!/bin/sh\necho 'ERROR: Please run az login or azd auth login to setup account.' >&2\nexit 1\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			refused := withHeader(problem(401, "Unauthorized", "", "expired"), "WWW-Authenticate", s.challenge)
			s.set(func(s *standin) { s.refuse = &refused })
			_, err := p.Fetch(t.Context())
			wantError(t, err, secretsauth.ErrConfig, "nobody is logged in", map[string]string{"az": "`az login`", "azd": "`azd auth login`"}[program])
		})
	}
}

func TestNoCredential(t *testing.T) {
	setenv(t, minimal("AZURE_TENANT_ID", " "))
	s := newStandin()
	s.put(ourSecret)
	p := fromEnv(t, s)
	_, err := p.Fetch(t.Context())
	wantError(t, err, secretsauth.ErrConfig,
		"Azure authentication failed: no credential is available; tried ",
		"EnvironmentCredential: AZURE_TENANT_ID is not set; ",
		"WorkloadIdentityCredential: AZURE_FEDERATED_TOKEN_FILE is not set; ",
		"ManagedIdentityCredential: no managed identity endpoint answers at 169.254.169.254; ",
		"AzureCLICredential: az is not installed; ",
		"AzureDeveloperCLICredential: azd is not installed; ",
		"AzurePowerShellCredential: pwsh is not installed; fix: ",
		"az login")
	if s.reads() != 0 || s.count("GET 169.254.169.254") != 1 {
		t.Errorf("requests: %v", s.requests)
	}

	// It is set up while the program runs.
	for name, value := range servicePrincipal("AZURE_CLIENT_SECRET", ourSecret) {
		t.Setenv(name, value)
	}
	fetchToken(t, p)
}

func TestS119NobodyAnswersAtTheMetadataAddress(t *testing.T) {
	setenv(t, minimal())
	s := newStandin()
	s.before = func(req *http.Request) *reply {
		if req.URL.Hostname() != "169.254.169.254" {
			return nil
		}
		<-req.Context().Done() // packets are dropped
		return &reply{err: req.Context().Err()}
	}
	begun := time.Now()
	_, err := fromEnv(t, s).Fetch(t.Context())
	wantError(t, err, secretsauth.ErrConfig, "no managed identity endpoint answers")
	if took := time.Since(begun); took < time.Second || took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A virtual machine: the endpoint is the metadata address.
func TestVirtualMachine(t *testing.T) {
	for name, c := range map[string]struct {
		answer reply
		id     string
		kind   error
		says   []string
	}{
		"identity":             {reply{status: 200, body: `{"access_token":"token-of-vm","expires_on":"4102444800","resource":"https://vault.azure.net","token_type":"Bearer"}`}, rand.Text(), nil, nil},
		"another identity":     {reply{status: 400, body: `{"error":"invalid_request","error_description":"Identity not found"}`}, rand.Text(), secretsauth.ErrDenied, []string{"the identity of AZURE_CLIENT_ID is not assigned", "az vm identity assign"}},
		"busy":                 {withHeader(reply{status: 429, body: `{"error":"x"}`}, "Retry-After", "9"), rand.Text(), secretsauth.ErrUnavailable, []string{"ManagedIdentityCredential", "429"}},
		"a proxy in its place": {reply{status: 200, body: `<html>`}, rand.Text(), secretsauth.ErrConfig, []string{"ManagedIdentityCredential: there is no managed identity here", "AzureCLICredential: az is not installed"}},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, minimal("AZURE_CLIENT_ID", c.id))
			s := newStandin()
			s.put(ourSecret)
			s.before = func(req *http.Request) *reply {
				switch {
				case req.URL.Hostname() != "169.254.169.254":
					return nil
				case req.Header.Get("Metadata") == "":
					return &reply{status: 400, body: `{"error":"bad_request_102","error_description":"Required metadata header not specified"}`}
				}
				return &c.answer
			}
			p := fromEnv(t, s)
			if c.kind == nil {
				fetchToken(t, p)
				return
			}
			_, err := p.Fetch(t.Context())
			wantError(t, err, c.kind, c.says...)
		})
	}
}

// The SDK keeps the token of a managed identity for the whole process, a refused
// one too.
func TestAManagedIdentitysTokenIsRevoked(t *testing.T) {
	setenv(t, minimal("IDENTITY_ENDPOINT", "http://identity.test/msi/token", "IDENTITY_HEADER", "identity-header", "AZURE_CLIENT_ID", rand.Text()))
	s := newStandin()
	s.put(ourSecret)
	p := fromEnv(t, s)
	fetchToken(t, p)
	revoked := "Bearer " + s.tokens[len(s.tokens)-1]
	refused := withHeader(problem(401, "Unauthorized", "", "Error validating token: IDX10223"), "WWW-Authenticate", s.challenge)
	s.set(func(s *standin) {
		s.before = func(req *http.Request) *reply {
			if req.Header.Get("Authorization") == revoked {
				return &refused
			}
			return nil
		}
	})
	for range 3 {
		fetchToken(t, p)
	}
	fetchToken(t, fromEnv(t, s))
	if n := s.count("GET identity.test/msi/token"); n != 2 {
		t.Errorf("the endpoint was asked for %d tokens, want 2", n)
	}
}

func aad(status int, code, text string) reply {
	return reply{status: status, body: fmt.Sprintf(`{"error":%q,"error_description":"AADSTS%s Trace ID: 1 Correlation ID: 2 Timestamp: 2026-01-01 00:00:00Z","error_codes":[1]}`, code, text)}
}

func TestRefusedLogins(t *testing.T) {
	federated := writeFile(t, "token", "service-account-token", 0o600)
	withSecret := servicePrincipal("AZURE_CLIENT_SECRET", ourSecret)
	for _, c := range []struct {
		name   string
		vars   map[string]string
		answer reply
		kind   error
		says   []string
		wait   time.Duration
	}{
		{"wrong secret", withSecret, aad(401, "invalid_client", "7000215: Invalid client secret provided."), secretsauth.ErrDenied,
			[]string{"Azure authentication failed: EnvironmentCredential: the client secret is not accepted (AADSTS7000215)", "az ad app credential reset"}, 0},
		{"expired secret", withSecret, aad(401, "invalid_client", "7000222: The provided client secret keys for app are expired."), secretsauth.ErrDenied, []string{"has expired (AADSTS7000222)"}, 0},
		{"unknown application", withSecret, aad(400, "unauthorized_client", "700016: Application with identifier 'app' was not found"), secretsauth.ErrDenied, []string{"AADSTS700016", "AZURE_CLIENT_ID"}, 0},
		{"unknown tenant", withSecret, aad(400, "invalid_request", "90002: Tenant not found"), secretsauth.ErrDenied, []string{"no such tenant (AADSTS90002)", "AZURE_TENANT_ID"}, 0},
		{"no federated credential", servicePrincipal("AZURE_FEDERATED_TOKEN_FILE", federated), aad(400, "invalid_request", "700213: No matching federated identity record found"), secretsauth.ErrDenied,
			[]string{"WorkloadIdentityCredential: no federated credential", "tried before: EnvironmentCredential: neither AZURE_CLIENT_SECRET nor AZURE_CLIENT_CERTIFICATE_PATH is set"}, 0},
		{"another code", withSecret, aad(400, "invalid_request", "123456: something"), secretsauth.ErrDenied, []string{"the login is refused (AADSTS123456)"}, 0},
		{"no code", withSecret, reply{status: 400, body: `{"error":"nope"}`}, secretsauth.ErrDenied, []string{"the login is refused (400 Bad Request)"}, 0},
		{"busy", withSecret, withHeader(reply{status: 429, body: "{}"}, "Retry-After", "30"), secretsauth.ErrUnavailable, []string{"the login answered 429"}, 30 * time.Second},
		{"down", withSecret, reply{status: 503, body: "{}"}, secretsauth.ErrUnavailable, []string{"the login answered 503"}, 0},
		{"no connection", withSecret, reply{err: errNobody}, secretsauth.ErrUnavailable, []string{"the login cannot be reached: dial tcp", "AZURE_AUTHORITY_HOST"}, 0},
		{"a page", withSecret, reply{status: 200, body: "<html>"}, secretsauth.ErrUnavailable, []string{"no usable answer"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, c.vars)
			s := newStandin()
			s.put(ourSecret)
			s.login = func(*http.Request, url.Values) reply { return c.answer }
			p := fromEnv(t, s)
			_, err := p.Fetch(t.Context())
			if e := wantFailure(t, err, c.kind, c.says...); e.RetryAfter() != c.wait {
				t.Errorf("it asks to wait %v", e.RetryAfter())
			}
			if strings.Contains(err.Error(), "Trace ID") || s.count("POST ") > 2 || s.reads() > 0 {
				t.Errorf("%d logins; %v", s.count("POST "), err)
			}
			s.set(func(s *standin) { s.login = func(*http.Request, url.Values) reply { return granted() } })
			fetchToken(t, p)
		})
	}
}

func TestBadCredentials(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	keyAlone := writeFile(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), 0o600)
	missing := filepath.Join(t.TempDir(), "missing")
	for _, c := range []struct {
		name string
		vars map[string]string
		says string
	}{
		{"no client id", minimal("AZURE_TENANT_ID", tenant, "AZURE_CLIENT_SECRET", "x"), "EnvironmentCredential: AZURE_CLIENT_ID is not set"},
		{"tenant", servicePrincipal("AZURE_TENANT_ID", "not/a/tenant", "AZURE_CLIENT_SECRET", "x"), "EnvironmentCredential: AZURE_TENANT_ID or AZURE_CLIENT_ID is not an id"},
		{"no certificate", servicePrincipal("AZURE_CLIENT_CERTIFICATE_PATH", missing), "the file of AZURE_CLIENT_CERTIFICATE_PATH cannot be read"},
		{"a key without certificate", servicePrincipal("AZURE_CLIENT_CERTIFICATE_PATH", keyAlone), "is no certificate with its key"},
		{"no token file", servicePrincipal("AZURE_FEDERATED_TOKEN_FILE", missing), "the file of AZURE_FEDERATED_TOKEN_FILE cannot be read"},
		{"another tenant", servicePrincipal("AZURE_TENANT_ID", "99999999-2222-3333-4444-555555555555", "AZURE_CLIENT_SECRET", "x"), "belongs to another tenant than AZURE_TENANT_ID: " + tenant},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, c.vars)
			s := newStandin()
			_, err := fromEnv(t, s).Fetch(t.Context())
			wantError(t, err, secretsauth.ErrConfig, c.says)
			if strings.Contains(err.Error(), missing) || s.reads() > 0 {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("another tenant that is allowed", func(t *testing.T) {
		setenv(t, servicePrincipal("AZURE_TENANT_ID", "99999999-2222-3333-4444-555555555555", "AZURE_CLIENT_SECRET", "x", "AZURE_ADDITIONALLY_ALLOWED_TENANTS", "y ; "+tenant))
		s := newStandin()
		s.put(ourSecret)
		fetchToken(t, fromEnv(t, s))
	})
}

// A certificate that expires is replaced in its file.
func TestACertificateIsReplaced(t *testing.T) {
	file := writeFile(t, "app.pem", pemOf(t), 0o600)
	setenv(t, servicePrincipal("AZURE_CLIENT_CERTIFICATE_PATH", file))
	s := newStandin()
	s.put(ourSecret)
	var assertions []string
	s.login = func(_ *http.Request, form url.Values) reply {
		header, _, _ := strings.Cut(form.Get("client_assertion"), ".") // names the certificate
		if assertions = append(assertions, header); header == assertions[0] {
			return aad(401, "invalid_client", "700027: The certificate is not registered on the application.")
		}
		return granted()
	}
	p := fromEnv(t, s)
	_, err := p.Fetch(t.Context())
	wantError(t, err, secretsauth.ErrDenied, "the certificate is not one of the application's (AADSTS700027)")
	if err := os.WriteFile(file, []byte(pemOf(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	fetchToken(t, p)
}

// The whole way over TLS, with an authority on loopback, which is not looked up
// elsewhere.
func TestLoopbackAuthority(t *testing.T) {
	setenv(t, servicePrincipal("AZURE_CLIENT_SECRET", ourSecret))
	s := newStandin()
	s.put(ourSecret)
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	t.Setenv("MLFLOW_AZURE_KEY_VAULT_URL", server.URL)
	t.Setenv("AZURE_AUTHORITY_HOST", server.URL)
	cfg, err := azure.ConfigFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	transport := client.Transport
	cfg.HTTPClient = client
	fetchToken(t, newProvider(t, cfg))
	if s.count("POST ") != 1 || strings.Contains(fmt.Sprint(s.requests), "discovery/instance") {
		t.Errorf("requests: %q", s.requests)
	}
	if client.Transport != transport || client.CheckRedirect != nil {
		t.Error("the caller's client was changed")
	}
}
