package azure_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/azure"
)

// TestMain gives the process a managed identity and nothing else of Azure's: tests
// of other logins set them.
func TestMain(m *testing.M) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); azureVariable(name) {
			_ = os.Unsetenv(name)
		}
	}
	server := httptest.NewServer(newStandin())
	_ = os.Setenv("IDENTITY_ENDPOINT", server.URL+"/msi/token")
	_ = os.Setenv("IDENTITY_HEADER", "identity-header")
	code := canary.Net(m).Run()
	server.Close()
	os.Exit(code)
}

// ourSecret is what a test hides that has no secret of its own to hide.
var ourSecret = canary.New()

func azureVariable(name string) bool {
	for _, prefix := range []string{"AZURE_", "MLFLOW_", "IDENTITY_", "MSI_", "IMDS_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

const (
	vaultURL = "https://my-vault.vault.azure.net"
	tenant   = "11111111-2222-3333-4444-555555555555"
	path     = "/secrets/mlflow-auth/"
)

// standin answers as Key Vault, Microsoft Entra ID and a managed identity endpoint
// do; the texts are theirs.
type standin struct {
	mu sync.Mutex

	secrets   map[string]reply    // by path
	lists     map[string][]string // of items, by path
	challenge string
	refuse    *reply // of a request with a token
	login     func(req *http.Request, form url.Values) reply
	identity  func(url.Values) reply
	before    func(*http.Request) *reply // may answer in place of everything else

	requests []string // "GET host/path"
	tokens   []string // that Key Vault was sent, "" for none
}

type reply struct {
	status int
	body   string
	header http.Header
	err    error // in place of an answer
}

func problem(status int, code, inner, message string) reply {
	body := map[string]any{"code": code, "message": message}
	if inner != "" {
		body["innererror"] = map[string]string{"code": inner}
	}
	text, _ := json.Marshal(map[string]any{"error": body})
	return reply{status: status, body: string(text)}
}

func secretOf(value, attributes string) reply {
	text, _ := json.Marshal(value)
	if attributes != "" {
		attributes = "," + attributes
	}
	return reply{status: 200, body: fmt.Sprintf(`{"value":%s,"id":"https://my-vault.vault.azure.net/secrets/mlflow-auth/4387e9f3d6e14c459867679a90fd0f79",`+
		`"attributes":{"enabled":true,"created":1493938410,"updated":1493938410,"recoveryLevel":"Recoverable+Purgeable"%s}}`, text, attributes)}
}

func newStandin() *standin {
	return &standin{
		secrets:   map[string]reply{},
		lists:     map[string][]string{},
		challenge: `Bearer authorization="https://login.microsoftonline.com/` + tenant + `", resource="https://vault.azure.net"`,
		login: func(_ *http.Request, form url.Values) reply {
			if form.Get("client_secret") == "" && form.Get("client_assertion") == "" {
				return reply{status: 400, body: `{"error":"invalid_request"}`}
			}
			return granted()
		},
		identity: func(query url.Values) reply {
			return reply{status: 200, body: fmt.Sprintf(`{"access_token":%q,"expires_on":"4102444800","resource":%q,"token_type":"Bearer"}`,
				"token-"+canary.New(), query.Get("resource"))}
		},
	}
}

func granted() reply {
	return reply{status: 200, body: fmt.Sprintf(`{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":%q}`, "token-"+canary.New())}
}

func (s *standin) put(value string) { s.store(secretOf(value, "")) }

func (s *standin) store(r reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[path] = r
}

func (s *standin) set(change func(*standin)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *standin) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r := s.answer(req)
	if r.err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, r.body)
}

// RoundTrip lets a Provider use the stand-in without a network, in a
// testing/synctest bubble too. Nobody listens at the address of virtual machines.
func (s *standin) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	r := s.answer(req)
	if r.err != nil {
		return nil, r.err
	}
	rec := httptest.NewRecorder()
	rec.Header().Set("Content-Type", "application/json; charset=utf-8")
	maps.Copy(rec.Header(), r.header)
	rec.WriteHeader(r.status)
	_, _ = rec.WriteString(r.body)
	resp := rec.Result()
	resp.Request = req
	return resp, nil
}

var errNobody = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.EHOSTUNREACH}

func (s *standin) answer(req *http.Request) reply {
	host := req.URL.Host
	if host == "" {
		host = req.Host
	}
	s.mu.Lock()
	s.requests = append(s.requests, req.Method+" "+host+req.URL.Path)
	before := s.before
	s.mu.Unlock()
	if before != nil {
		if r := before(req); r != nil {
			return *r
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case strings.HasPrefix(host, "169.254."):
		return reply{err: errNobody}
	case req.URL.Path == "/msi/token":
		if req.Header.Get("X-IDENTITY-HEADER") != "identity-header" {
			return reply{status: 401, body: `{"statusCode":401,"message":"Unauthorized"}`}
		}
		return s.identity(req.URL.Query())
	case strings.HasSuffix(req.URL.Path, "/discovery/instance"):
		return reply{status: 200, body: fmt.Sprintf(`{"tenant_discovery_endpoint":"https://%s/%s/v2.0/.well-known/openid-configuration","api-version":"1.1",`+
			`"metadata":[{"preferred_network":"%s","preferred_cache":"%s","aliases":["%s"]}]}`, host, tenant, host, host, host)}
	case strings.HasSuffix(req.URL.Path, "/openid-configuration"):
		id := strings.Split(req.URL.Path, "/")[1]
		return reply{status: 200, body: fmt.Sprintf(`{"token_endpoint":"https://%s/%s/oauth2/v2.0/token","authorization_endpoint":"https://%s/%s/oauth2/v2.0/authorize","issuer":"https://%s/%s/v2.0"}`,
			host, id, host, id, host, id)}
	case strings.HasSuffix(req.URL.Path, "/oauth2/v2.0/token"):
		body, _ := io.ReadAll(req.Body)
		form, _ := url.ParseQuery(string(body))
		return s.login(req, form)
	case !strings.HasPrefix(req.URL.Path, "/secrets") && !strings.HasPrefix(req.URL.Path, "/deletedsecrets/"):
		return reply{status: 404, body: `<html><body>Not Found</body></html>`}
	}
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	s.tokens = append(s.tokens, token)
	if token == "" {
		r := problem(401, "Unauthorized", "", "AKV10000: Request is missing a Bearer or PoP token.")
		r.header = http.Header{"Www-Authenticate": {s.challenge}}
		return r
	}
	if s.refuse != nil {
		return *s.refuse
	}
	if r, ok := s.secrets[req.URL.Path]; ok {
		return r
	}
	if req.URL.Path == "/secrets" || strings.HasSuffix(req.URL.Path, "/versions") {
		return page(s.lists[req.URL.Path], host, req.URL)
	}
	if name, ok := strings.CutPrefix(req.URL.Path, "/deletedsecrets/"); ok {
		return problem(404, "SecretNotFound", "", "Deleted Secret not found: "+name)
	}
	return problem(404, "SecretNotFound", "", "A secret with (name/id) mlflow-auth was not found in this key vault. If you recently deleted this secret you may be able to recover it using the correct recovery command.")
}

// page is a part of a list. Key Vault gives 25 items at once, in no useful order,
// and an empty list of the versions of what is not there.
func page(items []string, host string, u *url.URL) reply {
	const size = 25
	from, _ := strconv.Atoi(u.Query().Get("$skiptoken"))
	to, next := min(from+size, len(items)), "null"
	if to < len(items) {
		next = fmt.Sprintf(`"https://%s:443%s?api-version=7.6&$skiptoken=%d&maxresults=%d"`, strings.TrimSuffix(host, ":443"), u.Path, to, size)
	}
	return reply{status: 200, body: fmt.Sprintf(`{"value":[%s],"nextLink":%s}`, strings.Join(items[from:to], ","), next)}
}

// item is a secret in a list, or with name/version one of its versions.
func item(id string, enabled bool, created time.Time) string {
	return fmt.Sprintf(`{"id":"%s/secrets/%s","attributes":{"enabled":%t,"created":%d,"updated":%[4]d,"recoveryLevel":"Recoverable+Purgeable","recoverableDays":90}}`,
		vaultURL, id, enabled, created.Unix())
}

// count is how many requests begin with prefix.
func (s *standin) count(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

// reads is how many requests with a token Key Vault got.
func (s *standin) reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, token := range s.tokens {
		if token != "" {
			n++
		}
	}
	return n
}

func (s *standin) config(changes ...func(*azure.Config)) azure.Config {
	cfg := azure.Config{VaultURL: vaultURL, SecretName: "mlflow-auth", HTTPClient: &http.Client{Transport: s}}
	for _, change := range changes {
		change(&cfg)
	}
	return cfg
}

func (s *standin) provider(t *testing.T, changes ...func(*azure.Config)) netted {
	t.Helper()
	return newProvider(t, s.config(changes...))
}

func newProvider(t *testing.T, cfg azure.Config) netted {
	t.Helper()
	p, err := azure.New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return netted{p}
}

func fetchToken(t *testing.T, p netted) string {
	t.Helper()
	secret, err := p.Fetch(context.Background())
	if err != nil {
		t.Fatalf("Fetch: %v", err)
	}
	token, _ := secret.Token()
	return token
}

func wantError(t *testing.T, err, kind error, says ...string) {
	t.Helper()
	_ = wantFailure(t, err, kind, says...)
}

// wantFailure checks the error's kind, that it is complete, and that it says all of
// says.
func wantFailure(t *testing.T, err, kind error, says ...string) *secretsauth.Error {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error is %v, want kind %v", err, kind)
	}
	e, ok := errors.AsType[*secretsauth.Error](err)
	if !ok {
		t.Fatalf("error is a %T", err)
	}
	if e.Provider != "azure-key-vault" || !errors.Is(e.Kind, kind) || e.Fix == "" || e.Summary == "" {
		t.Errorf("incomplete error %+v", *e)
	}
	for _, want := range says {
		if !strings.Contains(e.Error(), want) {
			t.Errorf("%q does not say %q", e.Error(), want)
		}
	}
	return e
}

// netted is a Provider with the leak net beneath it.
type netted struct{ *azure.Provider }

func (n netted) Fetch(ctx context.Context) (secretsauth.Secret, error) {
	secret, err := n.Provider.Fetch(ctx)
	canary.KeepRead(n.Provider, secret, err)
	return secret, err
}
