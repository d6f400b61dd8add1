package azure

import (
	"context"
	"net/http"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// record keeps what became of the last request of a Fetch: the login's errors are
// text alone by the time that they arrive.
type record struct {
	anew bool // the token before was not accepted: none of a cache will do
	mu   sync.Mutex
	err  error
}

type recordKey struct{}

func withRecord(ctx context.Context, anew bool) (context.Context, *record) {
	r := &record{anew: anew}
	return context.WithValue(ctx, recordKey{}, r), r
}

func recordOf(ctx context.Context) *record {
	if r, ok := ctx.Value(recordKey{}).(*record); ok {
		return r
	}
	return new(record)
}

func (r *record) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *record) last() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// recorder is the policy that fills the record.
type recorder struct{}

func (recorder) Do(req *policy.Request) (*http.Response, error) {
	resp, err := req.Next()
	recordOf(req.Raw().Context()).set(err)
	return resp, err
}
