package devstack_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

// startKeyVault puts the way to a stand-in into the environment. The identity is
// one of its own: Azure's SDK keeps tokens by identity, for the whole process.
func startKeyVault(t *testing.T) (v *devstack.KeyVault, clientID string) {
	t.Helper()
	clientID = rand.Text()
	v, err := devstack.StartKeyVault("identity-header", clientID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	for name, value := range map[string]string{
		"IDENTITY_ENDPOINT": v.IdentityEndpoint(), "IDENTITY_HEADER": "identity-header", "IDENTITY_SERVER_THUMBPRINT": "",
		"AZURE_CLIENT_ID": clientID, "AZURE_TENANT_ID": "", "AZURE_AUTHORITY_HOST": "", "AZURE_TOKEN_CREDENTIALS": "",
	} {
		t.Setenv(name, value)
	}
	return v, clientID
}

func fetchFromKeyVault(t *testing.T, v *devstack.KeyVault, name, version string) (token string, err error) {
	t.Helper()
	p, err := azure.New(azure.Config{VaultURL: v.URL(), SecretName: name, SecretVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := p.Fetch(t.Context())
	token, _ = secret.Token()
	return token, err
}

// The provider, with Azure's own SDKs, has to find its way.
func TestKeyVaultIsEnoughForTheProvider(t *testing.T) {
	v, clientID := startKeyVault(t)
	first := v.Put("mlflow-auth", "first")
	v.Put("mlflow-auth", "second")
	now := time.Now().Unix()
	for name, a := range map[string]devstack.Attributes{
		"disabled": {},
		"expired":  {Enabled: true, Expires: now - 1},
		"early":    {Enabled: true, NotBefore: now + 3600},
		"valid":    {Enabled: true, NotBefore: now - 1, Expires: now + 3600},
	} {
		v.Put(name, name)
		v.SetAttributes(name, a)
	}
	v.Put("denied", "denied")
	v.Deny("denied")
	for _, test := range []struct {
		name, secret, version string
		want                  string
		err                   error
		says                  string
	}{
		{"latest", "mlflow-auth", "", "second", nil, ""},
		{"pinned", "mlflow-auth", first, "first", nil, ""},
		{"no such version", "mlflow-auth", strings.Repeat("0", 32), "", secretsauth.ErrNotFound, "list-versions"},
		{"no such secret", "wrong-name", "", "", secretsauth.ErrNotFound, "secret not found at path: " + v.URL() + "/secrets/wrong-name"},
		{"valid", "valid", "", "valid", nil, ""},
		{"disabled", "disabled", "", "", secretsauth.ErrDenied, "is disabled"},
		{"expired", "expired", "", "", secretsauth.ErrInvalidSecret, "expired at"},
		{"not valid yet", "early", "", "", secretsauth.ErrInvalidSecret, "not valid before"},
		{"denied", "denied", "", "", secretsauth.ErrDenied, "ForbiddenByRbac"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := fetchFromKeyVault(t, v, test.secret, test.version)
			if !errors.Is(err, test.err) {
				t.Fatalf("err = %v, want %v", err, test.err)
			}
			if err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q does not say %q", err, test.says)
			}
			if got != test.want {
				t.Errorf("token = %q, want %q", got, test.want)
			}
		})
	}
	if v.Logins(clientID) != 1 || v.Logins("") != 0 {
		t.Errorf("%d logins of the user-assigned identity, want 1; %d of the other, want 0", v.Logins(clientID), v.Logins(""))
	}
	if v.Reads() != 5 {
		t.Errorf("%d secrets were given out, want 5: those outside their dates, too", v.Reads())
	}
}

// A provider goes on when its token has ended before its time.
func TestKeyVaultTokensExpire(t *testing.T) {
	v, clientID := startKeyVault(t)
	v.Put("mlflow-auth", "token")
	p, err := azure.New(azure.Config{VaultURL: v.URL(), SecretName: "mlflow-auth"})
	if err != nil {
		t.Fatal(err)
	}
	for logins := 1; logins <= 3; logins++ {
		for range 2 {
			if _, err := p.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if v.Logins(clientID) != logins {
			t.Errorf("%d logins, want %d", v.Logins(clientID), logins)
		}
		v.ExpireTokens()
	}
}

func TestKeyVaultRefusesIdentities(t *testing.T) {
	for name, test := range map[string]struct{ variable, value, says string }{
		"a header that is not the machine's": {"IDENTITY_HEADER", "another", "(401 Unauthorized)"},
		"an identity that is not assigned":   {"AZURE_CLIENT_ID", rand.Text(), "is not assigned to this machine"},
	} {
		t.Run(name, func(t *testing.T) {
			v, _ := startKeyVault(t)
			v.Put("mlflow-auth", "token")
			t.Setenv(test.variable, test.value)
			_, err := fetchFromKeyVault(t, v, "mlflow-auth", "")
			if !errors.Is(err, secretsauth.ErrDenied) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %q", err, test.says)
			}
			if v.Reads() != 0 {
				t.Error("the secret was given out")
			}
		})
	}
}

// What Key Vault says to a request without a token that it issued, and to whom.
func TestKeyVaultAnswers(t *testing.T) {
	t.Parallel()
	v, err := devstack.StartKeyVault("identity-header")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	v.Put("mlflow-auth", "value")
	expired := login(t, v, "https://vault.azure.net")
	v.ExpireTokens()
	good := login(t, v, "https://vault.azure.net")
	for _, test := range []struct {
		name, path, token string
		status            int
		says              string
	}{
		{"no token", "/secrets/mlflow-auth/", "", 401, "AKV10000: Request is missing a Bearer or PoP token."},
		{"a token of another issuer", "/secrets/mlflow-auth/", rand.Text(), 401, "AKV10046: "},
		{"a token for another service", "/secrets/mlflow-auth/", login(t, v, "https://management.azure.com/"), 401,
			"AKV10022: Invalid audience. Expected https://vault.azure.net, found: https://management.azure.com/."},
		{"an expired token", "/secrets/mlflow-auth/", expired, 401, "Error validating token: IDX10223"},
		{"a good token", "/secrets/mlflow-auth/", good, 200, `"value":"value"`},
		{"no slash", "/secrets/mlflow-auth", good, 200, `"recoveryLevel":"Recoverable+Purgeable"`},
		{"nobody asks without a token whether there is one", "/secrets/nothing/", "", 401, "AKV10000"},
		{"no such secret", "/secrets/nothing/", good, 404, "A secret with (name/id) nothing was not found in this key vault."},
	} {
		authorization := ""
		if test.token != "" {
			authorization = "Bearer " + test.token
		}
		status, header, body := send(t, v.URL()+test.path+"?api-version=7.6", "Authorization", authorization)
		if status != test.status || !strings.Contains(body, test.says) {
			t.Errorf("%s: %d %q, want %d and %q", test.name, status, body, test.status, test.says)
		}
		challenge := header.Get("WWW-Authenticate")
		if (status == 401) != strings.HasPrefix(challenge, `Bearer authorization="https://login.microsoftonline.com/`) {
			t.Errorf("%s: WWW-Authenticate %q with status %d", test.name, challenge, status)
		}
	}
}

// login asks the managed identity endpoint for a token.
func login(t *testing.T, v *devstack.KeyVault, resource string) string {
	t.Helper()
	status, _, body := send(t, v.IdentityEndpoint()+"?api-version=2019-08-01&resource="+url.QueryEscape(resource), "X-Identity-Header", "identity-header")
	var granted struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &granted); err != nil || granted.Token == "" {
		t.Fatalf("no token, status %d", status)
	}
	return granted.Token
}

func send(t *testing.T, url, name, value string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(name, value)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}
