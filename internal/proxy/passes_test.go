package proxy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"sync"
	"testing"
)

// drops gives a body in pieces of any size.
type drops struct{ io.Reader }

func (d drops) Read(p []byte) (int, error) { return d.Reader.Read(p[:1+rand.IntN(len(p))]) }

// However often a body is begun anew while it is read, the last to read it gets all
// of it, and the others nothing that it lacks.
func TestPassesOverABody(t *testing.T) {
	t.Parallel()
	for range 20 {
		whole := make([]byte, maxKept+maxKept/2)
		for i := range whole {
			whole[i] = byte(rand.Uint32())
		}
		r := httptest.NewRequest("PUT", "/", drops{bytes.NewReader(whole)})
		r.ContentLength = int64(len(whole))
		out, b := keep(r)
		var wg sync.WaitGroup
		pass := out.Body
		for range 5 {
			former := pass
			wg.Go(func() {
				got, err := io.ReadAll(io.LimitReader(former, maxKept/2)) // so that the next can still begin
				if !bytes.HasPrefix(whole, got) || err != nil && !errors.Is(err, errSuperseded) {
					t.Errorf("a former pass: %d bytes, %v", len(got), err)
				}
			})
			var err error
			if pass, err = out.GetBody(); err != nil {
				t.Fatal(err)
			}
		}
		got, err := io.ReadAll(drops{pass})
		if err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("the last pass: %d bytes, %v", len(got), err)
		}
		wg.Wait()
		if _, err := out.GetBody(); !errors.Is(err, errSpent) {
			t.Errorf("another pass: %v", err)
		}
		b.end()
		if n, err := pass.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errSuperseded) {
			t.Errorf("after the end: %d, %v", n, err)
		}
	}
}
