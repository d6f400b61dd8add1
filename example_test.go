package secretsauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

func ExampleNewTransport() {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		user, _, ok := req.BasicAuth()
		fmt.Println("the server sees:", user, ok)
	}))
	defer server.Close()

	rt, err := secretsauth.NewTransport(
		secretsauth.Static(secretsauth.NewUserPassword("alice", "correct horse")), // or the provider of vault.New
		secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}},
	)
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: rt}
	resp, err := client.Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	_ = resp.Body.Close()
	// Output: the server sees: alice true
}

// The secret changes in the middle: the server refuses the old one, and the request
// is sent once more with what the store holds by then.
func ExampleTransport() {
	var current atomic.Value // what the store holds, and the server accepts
	current.Store("first-token")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer "+current.Load().(string) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	store := secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) {
		return secretsauth.NewToken(current.Load().(string)), nil
	})

	rt, err := secretsauth.NewTransport(store, secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}, TTL: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: rt}
	for _, token := range []string{"first-token", "first-token", "second-token"} {
		current.Store(token)
		resp, err := client.Get(server.URL)
		if err != nil {
			log.Fatal(err)
		}
		_ = resp.Body.Close()
		fmt.Println(resp.Status)
	}
	s := rt.Stats()
	fmt.Println("reads:", s.Fetches, "rejections:", s.Rejections, "retries:", s.Retries)
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// reads: 2 rejections: 1 retries: 1
}

// A reverse proxy in front of the server. What it passes on has no GetBody, so BufferBodies
// keeps what is short enough to be sent again after a rotation.
func ExampleConfig_bufferBodies_reverseProxy() {
	var current atomic.Value // what the store holds, and the server accepts
	current.Store("first-token")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer "+current.Load().(string) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, _ := io.ReadAll(req.Body)
		fmt.Printf("the server got %q\n", body)
	}))
	defer server.Close()
	store := secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) {
		return secretsauth.NewToken(current.Load().(string)), nil
	})

	rt, err := secretsauth.NewTransport(store, secretsauth.Config{
		AllowedHosts: []string{"127.0.0.1"},
		BufferBodies: 1 << 20,
	})
	if err != nil {
		log.Fatal(err)
	}
	target, err := url.Parse(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Transport: rt,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
	})
	defer proxy.Close()

	for _, token := range []string{"first-token", "second-token"} {
		current.Store(token)
		resp, err := http.Post(proxy.URL, "application/json", strings.NewReader(`{"key":"loss"}`))
		if err != nil {
			log.Fatal(err)
		}
		_ = resp.Body.Close()
		fmt.Println(resp.Status)
	}
	// Output:
	// the server got "{\"key\":\"loss\"}"
	// 200 OK
	// the server got "{\"key\":\"loss\"}"
	// 200 OK
}

// An upload of a file during a rotation. A file has no GetBody: BufferBodies keeps a short
// one, and GetBody opens a long one again.
func ExampleConfig_bufferBodies_file() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer second-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		n, _ := io.Copy(io.Discard, req.Body)
		fmt.Printf("the server got %d bytes, announced as %d\n", n, req.ContentLength)
	}))
	defer server.Close()
	tokens := []string{"first-token", "second-token"} // what the store holds at each read
	store := secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) {
		token := tokens[0]
		tokens = tokens[1:]
		return secretsauth.NewToken(token), nil
	})
	name := filepath.Join(os.TempDir(), "secretsauth-example-model.bin")
	if err := os.WriteFile(name, make([]byte, 100_000), 0o600); err != nil {
		log.Fatal(err)
	}
	defer os.Remove(name)

	for _, limit := range []int64{1 << 20, 1 << 10} {
		tokens = []string{"first-token", "second-token"}
		rt, err := secretsauth.NewTransport(store, secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}, BufferBodies: limit})
		if err != nil {
			log.Fatal(err)
		}
		file, err := os.Open(name)
		if err != nil {
			log.Fatal(err)
		}
		req, err := http.NewRequest(http.MethodPut, server.URL+"/model.bin", file)
		if err != nil {
			log.Fatal(err)
		}
		if info, err := file.Stat(); err == nil && info.Size() > limit {
			req.ContentLength = info.Size()
			req.GetBody = func() (io.ReadCloser, error) { return os.Open(name) }
		}
		resp, err := (&http.Client{Transport: rt}).Do(req)
		if err != nil {
			log.Fatal(err)
		}
		_ = resp.Body.Close()
		fmt.Println(resp.Status)
	}
	// Output:
	// the server got 100000 bytes, announced as 100000
	// 200 OK
	// the server got 100000 bytes, announced as 100000
	// 200 OK
}

// Two transports for two servers that take the same credential share one cache, and
// so one read of the store.
func ExampleCache() {
	store := secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) {
		fmt.Println("the store is read")
		return secretsauth.NewToken("t"), nil
	})
	cache := secretsauth.NewCache(store, secretsauth.Config{TTL: 15 * time.Minute})
	for _, host := range []string{"mlflow.company.com", "mlflow-staging.company.com"} {
		rt, err := secretsauth.NewTransport(cache, secretsauth.Config{AllowedHosts: []string{host}})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(host, rt.Warm(context.Background()))
	}
	s := cache.Stats()
	fmt.Printf("hits: %d, misses: %d, hit rate: %.0f %%\n", s.Hits, s.Misses, 100*s.HitRate())
	// Output:
	// the store is read
	// mlflow.company.com <nil>
	// mlflow-staging.company.com <nil>
	// hits: 1, misses: 1, hit rate: 50 %
}

// What a program may show of the state of its credential.
func ExampleTransport_CacheState() {
	rt, err := secretsauth.NewTransport(
		secretsauth.Static(secretsauth.NewToken("t")),
		secretsauth.Config{AllowedHosts: []string{"mlflow.company.com"}, TTL: 10 * time.Minute},
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("read:", !rt.CacheState().ReadAt.IsZero())
	if err := rt.Warm(context.Background()); err != nil {
		log.Fatal(err)
	}
	state := rt.CacheState()
	fmt.Println("read:", !state.ReadAt.IsZero(), "failure:", state.Failure, "lives for:", state.ExpiresAt.Sub(state.ReadAt))
	// Output:
	// read: false
	// read: true failure: <nil> lives for: 10m0s
}

// The settings that belong to no store in particular. What is left out has its
// default; fields may be changed before the Config is used.
func ExampleConfigFromEnv() {
	for name, value := range map[string]string{
		"MLFLOW_SECRETS_ALLOWED_HOSTS": "mlflow.company.com, *.mlflow.company.com",
		"MLFLOW_SECRETS_MAX_STALE_SEC": "600",
		"MLFLOW_SECRETS_REQUIRE_TLS":   "yes",
	} {
		os.Setenv(name, value)
		defer os.Unsetenv(name)
	}
	cfg, err := secretsauth.ConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q %v %v\n", cfg.AllowedHosts, cfg.MaxStale, cfg.RequireTLS)

	os.Setenv("MLFLOW_SECRETS_ALLOWED_HOSTS", "")
	_, err = secretsauth.ConfigFromEnv()
	fmt.Println(err)
	// Output:
	// ["mlflow.company.com" "*.mlflow.company.com"] 10m0s true
	// secretsauth: MLFLOW_SECRETS_ALLOWED_HOSTS is set but empty, so no host may get the credential; fix: export MLFLOW_SECRETS_ALLOWED_HOSTS=mlflow.company.com
}

// A request that had no credential was not sent. Its error says why, in parts.
func ExampleError() {
	store := secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) {
		return secretsauth.Secret{}, &secretsauth.Error{
			Kind:    secretsauth.ErrDenied,
			Summary: "Vault authentication failed: 403 Forbidden",
			Fix:     "vault token lookup",
		}
	})
	rt, err := secretsauth.NewTransport(store, secretsauth.Config{AllowedHosts: []string{"mlflow.company.com"}})
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: rt}
	_, err = client.Get("https://mlflow.company.com/api/2.0/mlflow/experiments/search")

	fmt.Println("wait and see:", errors.Is(err, secretsauth.ErrUnavailable))
	if why, ok := errors.AsType[*secretsauth.Error](err); ok {
		fmt.Println("provider:", why.Provider)
		fmt.Println("why:", why.Summary)
		fmt.Println("what to do:", why.Fix)
		fmt.Println("denied:", errors.Is(why, secretsauth.ErrDenied))
	}
	// Output:
	// wait and see: false
	// provider: func
	// why: Vault authentication failed: 403 Forbidden
	// what to do: vault token lookup
	// denied: true
}

// A provider of your own is a function, or a type with two methods.
func ExampleProviderFunc() {
	fromFile := secretsauth.ProviderFunc(func(context.Context) (secretsauth.Secret, error) {
		raw, err := os.ReadFile("/run/secrets/mlflow")
		switch {
		case errors.Is(err, os.ErrNotExist):
			return secretsauth.Secret{}, &secretsauth.Error{
				Kind:    secretsauth.ErrNotFound,
				Summary: "secret not found at path: /run/secrets/mlflow",
				Fix:     "mount it",
			}
		case err != nil:
			return secretsauth.Secret{}, err // counts as ErrUnavailable
		}
		return secretsauth.ParseSecret(raw)
	})
	rt, err := secretsauth.NewTransport(fromFile, secretsauth.Config{AllowedHosts: []string{"mlflow.company.com"}})
	if err != nil {
		log.Fatal(err)
	}
	err = rt.Warm(context.Background())
	fmt.Println(errors.Is(err, secretsauth.ErrNotFound))
	fmt.Println(err)
	// Output:
	// true
	// func: secret not found at path: /run/secrets/mlflow; fix: mount it
}

// Static is for tests, and for a credential that a program has from elsewhere.
func ExampleStatic() {
	secret, err := secretsauth.Static(secretsauth.NewUserPassword("alice", "correct horse")).Fetch(context.Background())
	user, _, ok := secret.UserPassword()
	fmt.Println(user, ok, secret, err)
	// Output: alice true [REDACTED] <nil>
}

func ExampleParseAuthMode() {
	mode, err := secretsauth.ParseAuthMode(" Basic ")
	fmt.Println(mode == secretsauth.AuthBasic, err)
	_, err = secretsauth.ParseAuthMode("digest")
	fmt.Println(err)
	// Output:
	// true <nil>
	// secretsauth: the auth mode is not known; fix: use bearer or basic, or leave it unset to go by what the secret holds
}

func ExampleParseSecret() {
	for _, raw := range []string{`{"username":"alice","password":"p"}`, `{"token":"t"}`, "alice:p", "t\n", `{"user":"alice"}`} {
		s, err := secretsauth.ParseSecret([]byte(raw))
		user, _, pair := s.UserPassword()
		_, token := s.Token()
		fmt.Println(user, pair, token, err != nil)
	}
	// Output:
	// alice true false false
	//  false true false
	// alice true false false
	//  false true false
	//  false false true
}

// A Secret shows itself to nobody who does not ask for it by name.
func ExampleSecret() {
	s := secretsauth.NewToken("hunter2")
	fmt.Printf("%v %+v %#v %q\n", s, s, s, s)
	token, ok := s.Token()
	fmt.Println(token, ok)
	// Output:
	// [REDACTED] [REDACTED] [REDACTED] [REDACTED]
	// hunter2 true
}

func ExampleHostMatcher() {
	m, err := secretsauth.CompileHosts([]string{"mlflow.company.com", "*.com"})
	if err != nil {
		log.Fatal(err)
	}
	for _, raw := range []string{"https://MLflow.Company.com:5000/api", "https://mlflow.company.org"} {
		u, err := url.Parse(raw)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.Match(u))
	}
	fmt.Println(m.Warnings())

	_, err = secretsauth.CompileHosts([]string{"https://mlflow.company.com/mlflow"})
	fmt.Println(errors.Is(err, secretsauth.ErrConfig))
	// Output:
	// true
	// false
	// [host pattern "*.com" covers hosts of other owners; write at least two literal labels at its end, as in *.company.com]
	// true
}

func ExampleHostMatcher_Explain() {
	m, err := secretsauth.CompileHosts([]string{"*.company.com", "https://mlflow.partner.example:8443"})
	if err != nil {
		log.Fatal(err)
	}
	for _, raw := range []string{
		"https://mlflow.eu.company.com/api",
		"https://company.com",
		"http://mlflow.partner.example:8443",
		"https://mlflow.partner.example:8443",
		"https://mlflow。company.com",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			log.Fatal(err)
		}
		d := m.Explain(u)
		fmt.Println(d.Allowed, d.Reason)
	}
	// Output:
	// true covered by the pattern "*.company.com"
	// false no pattern of the allow-list covers it
	// false no pattern of the allow-list covers it
	// true covered by the pattern "https://mlflow.partner.example:8443"
	// false the host is not a plain name of ASCII labels or an IP address
}
