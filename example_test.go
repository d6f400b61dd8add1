package secretsauth_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"

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
