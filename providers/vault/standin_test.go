package vault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

func TestMain(m *testing.M) { os.Exit(canary.Net(m).Run()) }

// standin answers as OpenBao 2.7.2 does; the texts are its own.
type standin struct {
	// mounts are KV engines: path to version, or to another engine's type.
	mounts map[string]string
	// secrets are what lies at an API path, with "?version=N" for a pinned one.
	secrets map[string]reply
	// tokens are what each token may read; "*" is everything. Guarded by mu.
	tokens map[string][]string
	// login answers PUT auth/…/login. Called under mu.
	login func(s *standin, mount string, body map[string]string) reply
	// before may answer in place of everything else.
	before func(*http.Request) *reply
	// noPreflight answers sys/internal/ui/mounts with 403, as a gateway might.
	noPreflight bool
	// noLookup is a token without the policy "default".
	noLookup bool
	// health answers sys/health, and identity is the data of a token's look-up;
	// there are defaults.
	health   reply
	identity string

	mu       sync.Mutex
	requests []string
	headers  []http.Header
	hosts    []string
}

type reply struct {
	status int
	body   string
	header http.Header
}

const (
	denyToken  = `{"errors":["permission denied"]}` + "\n"
	denyPolicy = `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}` + "\n"
	healthy    = `{"initialized":true,"sealed":false,"standby":false,"replication_performance_mode":"primary","replication_dr_mode":"disabled","server_time_utc":1795521411,"version":"2.7.2"}`
	sealedBody = `{"errors":["Vault is sealed"]}` + "\n"
)

func ok(data string) reply {
	return reply{status: 200, body: `{"request_id":"0b179ec0","lease_id":"","renewable":false,"lease_duration":2764800,"data":` + data +
		`,"wrap_info":null,"warnings":null,"auth":null}` + "\n"}
}

// kv2 is version 1 of a secret in KV version 2.
func kv2(data string) reply { return kv2At(data, 1, "", false) }

func kv2At(data string, version int, deletion string, destroyed bool) reply {
	r := ok(fmt.Sprintf(`{"data":%s,"metadata":{"created_time":"2026-11-24T08:33:43.175877898Z","custom_metadata":null,`+
		`"deletion_time":%q,"destroyed":%t,"version":%d}}`, data, deletion, destroyed, version))
	if data == "null" {
		r.status = 404
	}
	return r
}

func granted(token string, lease int) reply {
	return reply{status: 200, body: fmt.Sprintf(`{"request_id":"2f468ab5","data":null,"auth":{"client_token":%q,"accessor":"xGK5",`+
		`"policies":["default","mlflow"],"lease_duration":%d,"renewable":true,"token_type":"service","mfa_requirement":null,"num_uses":0}}`, token, lease)}
}

func (s *standin) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r := s.answer(req)
	maps.Copy(w.Header(), r.header)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, r.body)
}

// RoundTrip lets a Provider use the stand-in without a network, in a
// testing/synctest bubble too.
func (s *standin) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	resp := rec.Result()
	resp.Request = req
	return resp, nil
}

func (s *standin) answer(req *http.Request) reply {
	path, isAPI := strings.CutPrefix(req.URL.Path, "/v1/")
	s.mu.Lock()
	s.requests = append(s.requests, req.Method+" "+strings.TrimPrefix(req.URL.RequestURI(), "/v1/"))
	s.headers = append(s.headers, req.Header.Clone())
	s.hosts = append(s.hosts, req.URL.Host)
	s.mu.Unlock()
	if s.before != nil {
		if r := s.before(req); r != nil {
			return *r
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isAPI || req.Header.Get("X-Vault-Request") != "true" {
		return reply{status: 400, body: `{"errors":["missing 'X-Vault-Request' header"]}`}
	}
	if mount, ok := strings.CutSuffix(strings.TrimPrefix(path, "auth/"), "/login"); ok && req.Method == http.MethodPut {
		var body map[string]string
		if json.NewDecoder(req.Body).Decode(&body) != nil || s.login == nil {
			return reply{status: 403, body: denyToken}
		}
		return s.login(s, mount, body)
	}
	if path == "sys/health" {
		return s.health
	}
	rights, known := s.tokens[req.Header.Get("X-Vault-Token")]
	if path == "sys/internal/ui/mounts" && known && !s.noPreflight {
		return s.listMounts(rights)
	}
	if mount, ok := strings.CutPrefix(path, "sys/internal/ui/mounts/"); ok {
		return s.preflight(mount, known, rights)
	}
	switch {
	case !known:
		return reply{status: 403, body: denyToken}
	case path == "auth/token/lookup-self" && !s.noLookup:
		return ok(s.identity)
	case !slices.Contains(rights, path) && !slices.Contains(rights, "*"):
		return reply{status: 403, body: denyPolicy}
	}
	return s.readPath(path, req.URL.RawQuery)
}

func (s *standin) readPath(path, query string) reply {
	mount, kind := s.mountOf(path)
	if mount == "" {
		return reply{status: 404, body: fmt.Sprintf(`{"errors":["no handler for route %s. route entry not found."]}`, strings.ReplaceAll(fmt.Sprintf("%q", path), `"`, `\"`))}
	}
	if kind == "2" && !strings.HasPrefix(path, mount+"/data/") && !strings.HasPrefix(path, mount+"/metadata") {
		return reply{status: 404, body: `{"request_id":"1938d63b","data":null,"warnings":["Invalid path for a versioned K/V secrets engine. ` +
			`See the API docs for the appropriate API endpoints to use. If using the OpenBao CLI, use 'bao kv get' for this operation."]}`}
	}
	if query != "" {
		path += "?" + query
	}
	if r, ok := s.secrets[path]; ok {
		return r
	}
	return reply{status: 404, body: `{"errors":[]}` + "\n"}
}

func (s *standin) mountOf(path string) (mount, kind string) {
	for m, k := range s.mounts {
		if path == m || strings.HasPrefix(path, m+"/") {
			return m, k
		}
	}
	return "", ""
}

func (s *standin) listMounts(rights []string) reply {
	engines := map[string]any{"cubbyhole/": map[string]string{"type": "cubbyhole"}}
	for mount, kind := range s.mounts {
		if kind == "1" || kind == "2" {
			kind = "kv"
		}
		if slices.ContainsFunc(rights, func(r string) bool { return r == "*" || strings.HasPrefix(r, mount+"/") }) {
			engines[mount+"/"] = map[string]string{"type": kind}
		}
	}
	text, _ := json.Marshal(map[string]any{"auth": map[string]any{}, "secret": engines})
	return ok(string(text))
}

func (s *standin) preflight(path string, known bool, rights []string) reply {
	mount, kind := s.mountOf(path)
	reach := slices.ContainsFunc(rights, func(r string) bool { return r == "*" || strings.HasPrefix(r, mount+"/") })
	switch {
	case mount != "" && !known:
		return reply{status: 403, body: denyToken}
	case mount == "" || !reach || s.noPreflight:
		return reply{status: 403, body: fmt.Sprintf(`{"errors":["preflight capability check returned 403, please ensure client's policies grant access to path \"%s/\""]}`, path)}
	case kind == "1" || kind == "2":
		return ok(fmt.Sprintf(`{"accessor":"kv_b8ff1a75","options":{"version":%q},"path":"%s/","type":"kv"}`, kind, mount))
	}
	return ok(fmt.Sprintf(`{"accessor":"x","options":null,"path":"%s/","type":%q}`, mount, kind))
}

// setToken makes a token known or, without rights, unknown.
func (s *standin) setToken(token string, rights ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(rights) == 0 {
		delete(s.tokens, token)
		return
	}
	s.tokens[token] = rights
}

// count is how many requests began with prefix, such as "PUT auth/".
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

func (s *standin) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// What the tests log in with, besides what they are about.
var rootToken, secretID, granter = "hvs." + canary.New(), canary.New(), canary.New()

// login is the token of the n-th login to withAppRole's stand-in.
func login(n int) string { return granter + strconv.Itoa(n) }

// newStandin has KV version 2 at secret and team/kv, and version 1 at kv1, each
// with a token at mlflow/auth.
func newStandin() (s *standin, secret string) {
	secret = canary.New()
	data := fmt.Sprintf(`{"token":%q}`, secret)
	return &standin{
		mounts: map[string]string{"secret": "2", "team/kv": "2", "kv1": "1", "transit": "transit"},
		secrets: map[string]reply{
			"secret/data/mlflow/auth":  kv2(data),
			"team/kv/data/mlflow/auth": kv2(data),
			"kv1/mlflow/auth":          ok(data),
		},
		tokens:   map[string][]string{rootToken: {"*"}},
		health:   reply{status: 200, body: healthy},
		identity: `{"policies":["default","mlflow"],"expire_time":"2026-12-26T08:33:43Z","ttl":2764799,"num_uses":0,"meta":null}`,
	}, secret
}

// config is a Config for the stand-in without a network.
func (s *standin) config(path string) vault.Config {
	return vault.Config{
		Address:    "https://vault.company.com",
		SecretPath: path,
		Token:      rootToken,
		HTTPClient: &http.Client{Transport: s},
	}
}

func newProvider(t *testing.T, cfg vault.Config) netted {
	t.Helper()
	p, err := vault.New(cfg)
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

func wantError(t *testing.T, err, kind error, summary string) {
	t.Helper()
	_ = wantFailure(t, err, kind, summary)
}

// wantFailure checks kind and summary, and that the error is complete.
func wantFailure(t *testing.T, err, kind error, summary string) *secretsauth.Error {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error is %v, want kind %v", err, kind)
	}
	e, ok := errors.AsType[*secretsauth.Error](err)
	if !ok {
		t.Fatalf("error is a %T", err)
	}
	if e.Provider != "vault" || !errors.Is(e.Kind, kind) || e.Fix == "" || e.Summary == "" {
		t.Errorf("incomplete error %+v", *e)
	}
	if !strings.Contains(e.Summary, summary) {
		t.Errorf("summary is %q, want %q in it", e.Summary, summary)
	}
	return e
}

// netted is a Provider with the leak net beneath it.
type netted struct{ *vault.Provider }

func (n netted) Fetch(ctx context.Context) (secretsauth.Secret, error) {
	secret, err := n.Provider.Fetch(ctx)
	canary.KeepRead(n.Provider, secret, err)
	return secret, err
}
