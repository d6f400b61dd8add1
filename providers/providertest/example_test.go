package providertest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/providers/providertest"
)

// memory is a provider in 30 lines: a store in the process.
type memory struct {
	mu     sync.Mutex
	value  []byte
	denied bool

	kept secretsauth.Secret // of one of the broken ones
}

func (*memory) Name() string { return "memory" }
func (*memory) Key() string  { return "memory:mlflow/auth" }

func (m *memory) Fetch(ctx context.Context) (secretsauth.Secret, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return secretsauth.Secret{}, &secretsauth.Error{Provider: m.Name(), Key: m.Key(), Kind: secretsauth.ErrUnavailable, Cause: ctx.Err()}
	case m.denied:
		return secretsauth.Secret{}, &secretsauth.Error{Provider: m.Name(), Key: m.Key(), Kind: secretsauth.ErrDenied, Fix: "ask nicely"}
	case m.value == nil:
		return secretsauth.Secret{}, &secretsauth.Error{Provider: m.Name(), Key: m.Key(), Kind: secretsauth.ErrNotFound, Fix: "store it first"}
	}
	return secretsauth.ParseSecret(m.value)
}

func (m *memory) put(value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.value = value
}

func (m *memory) fixture() providertest.Fixture {
	return providertest.Fixture{
		Provider: m,
		PutFields: func(fields map[string]string) {
			text, _ := json.Marshal(fields)
			m.put(text)
		},
		PutText:   func(text string) { m.put([]byte(text)) },
		PutBinary: m.put,
		Deny: func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.denied = true
		},
		NoHTTP: true,
	}
}

// TestConformance is what the author of a provider writes.
func TestConformance(t *testing.T) {
	t.Parallel()
	providertest.Run(t, func(*testing.T, *http.Client) providertest.Fixture { return new(memory).fixture() })
}

// In a test file of the provider's package.
func ExampleRun() {
	newStore := func(t *testing.T, client *http.Client) providertest.Fixture {
		store := new(memory) // a provider that speaks HTTP gets client, and the URL of a stand-in
		return providertest.Fixture{
			Provider: store,
			PutText:  func(text string) { store.put([]byte(text)) },
			NoHTTP:   true, // memory does not
		}
	}
	testConformance := func(t *testing.T) { providertest.Run(t, newStore) }
	_ = testConformance // go test calls it TestConformance
	// Output:
}
