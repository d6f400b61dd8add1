package secretsauth_test

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// Key Vault takes expiries up to the year 9999, and who wants something for ever
// writes math.MaxInt64: neither fits beside a moment in an int64 of nanoseconds.
func TestTimesFarOffDoNotOverflow(t *testing.T) {
	t.Parallel()
	t.Run("an expiry", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t, ttl(time.Hour))
			w.store.set(func(s *fakeStore) {
				s.secret = s.secret.WithExpiry(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
			})
			for range 5 {
				w.want("/", http.StatusOK)
			}
			w.wantReads(1)
		})
	})
	t.Run("MaxStale", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t, ttl(time.Minute), func(c *secretsauth.Config) { c.MaxStale = math.MaxInt64 })
			w.want("/", http.StatusOK)
			w.store.fail(down())
			time.Sleep(30 * 24 * time.Hour)
			w.want("/", http.StatusOK)
		})
	})
	t.Run("FetchTimeout", func(t *testing.T) {
		t.Parallel()
		simulate(t, func(t *testing.T) {
			w := newWorld(t, func(c *secretsauth.Config) { c.FetchTimeout = math.MaxInt64 })
			w.store.slow(time.Minute)
			w.want("/", http.StatusOK)
		})
	})
}
