package secretsauth_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// Cloudflare Access in front of the server asks for two headers of its own; the token
// behind them is MLflow's.
func ExampleSecret_WithHeader() {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		for _, name := range []string{"Authorization", "CF-Access-Client-Id", "CF-Access-Client-Secret"} {
			fmt.Println(name, "is there:", req.Header.Get(name) != "")
		}
	}))
	defer server.Close()

	secret := secretsauth.NewToken("token-of-mlflow").
		WithHeader("CF-Access-Client-Id", "8f1c.access").
		WithHeader("CF-Access-Client-Secret", "correct-horse")
	rt, err := secretsauth.NewTransport(secretsauth.Static(secret), secretsauth.Config{AllowedHosts: []string{"127.0.0.1"}})
	if err != nil {
		log.Fatal(err)
	}
	resp, err := (&http.Client{Transport: rt}).Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	_ = resp.Body.Close()
	// Output:
	// Authorization is there: true
	// CF-Access-Client-Id is there: true
	// CF-Access-Client-Secret is there: true
}

// A header that is not secret goes to the tracking server alone, and a request may
// bring its own.
func ExampleConfig_headers() {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		fmt.Println("workspace:", req.Header.Get("X-MLFLOW-WORKSPACE"))
	}))
	defer server.Close()

	rt, err := secretsauth.NewTransport(secretsauth.Static(secretsauth.NewToken("token")), secretsauth.Config{
		AllowedHosts: []string{"127.0.0.1"},
		Headers:      http.Header{"X-MLFLOW-WORKSPACE": {"team-a"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: rt}
	for _, own := range []string{"", "team-b"} {
		req, err := http.NewRequest(http.MethodGet, server.URL, nil)
		if err != nil {
			log.Fatal(err)
		}
		if own != "" {
			req.Header.Set("X-MLFLOW-WORKSPACE", own)
		}
		resp, err := client.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	// Output:
	// workspace: team-a
	// workspace: team-b
}

// A store that holds the token under another name, and a second header beside it.
func ExampleFields_Parse() {
	fields := secretsauth.Fields{Token: "api_key", Headers: "X-Gateway-Key=gateway"}
	secret, err := fields.Parse([]byte(`{"api_key": "token-of-mlflow", "gateway": "correct-horse"}`))
	if err != nil {
		log.Fatal(err)
	}
	_, ok := secret.Token()
	fmt.Println(ok, len(secret.Headers()))

	_, err = fields.Parse([]byte(`{"token": "token-of-mlflow"}`))
	fmt.Println(err)
	// Output:
	// true 1
	// secretsauth: secret has no field "api_key", which MLFLOW_SECRETS_FIELD_TOKEN (Fields.Token) names; fix: store it in that field, or correct or unset MLFLOW_SECRETS_FIELD_TOKEN (Fields.Token)
}
