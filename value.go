package secretsauth

import (
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/jwt"
)

// value is one secret that the store held, ready to be sent, and what servers have
// said of it. Reading an equal secret again gives the same value, with its history.
type value struct {
	secret  Secret
	headers [formCount]header
	late    time.Duration // by how much the token's own end was past when it was read
	evidence

	// The fields below are guarded by the cache's lock.

	// before is the value that this one replaced, if a server has accepted that one
	// and not rejected it since. Rotations change the store first: until the server
	// follows, it accepts only before. It is tried until beforeUntil, and forgotten
	// once a server has accepted this value.
	before      *value
	beforeUntil time.Time
	// retryUntil is set when before is rejected too: either the server has just
	// switched to this value, or both are wrong. Until then a request that was
	// rejected with this value is sent with it once more.
	retryUntil time.Time

	// rejectedAt is when the first 401 since the latest success came.
	rejectedAt time.Time
}

// clockSkew is how far two clocks are commonly apart.
const clockSkew = time.Minute

// endingWithJWT returns s with the end that its token states, if that is a JWT with an
// "exp": servers refuse it from then on. If that is past by less than clockSkew, this
// machine's clock may be wrong: s ends in a second, and late is by how much it is past.
func (s Secret) endingWithJWT(now time.Time) (_ Secret, late time.Duration) {
	token := s.credential().token
	if hasScheme(token, "Bearer") {
		token = trim(token[len("Bearer"):])
	}
	end, ok := jwt.Expiry(token)
	if !ok {
		return s, 0
	}
	if late = now.Sub(end); late >= 0 && late < clockSkew {
		return s.WithExpiry(now.Add(minTTL)), max(late, 1)
	}
	return s.WithExpiry(end), 0
}

// evidence is what the responses to requests with one value have said of it. It says
// nothing about when the store is read again; that is paced by a [backoff].
type evidence struct {
	// rejections counts 401s. Those that come while the store is being read because
	// of one, or left alone after that, are the same rejection and are not counted.
	rejections atomic.Uint32
	// accepted is 1 + the number of rejections when the latest successful request
	// was sent; 0 if none succeeded.
	accepted atomic.Uint32
	// redeemed: a server accepted the value, rejected it, and accepted it again. So
	// there is an endpoint that answers 401 for reasons of its own.
	redeemed atomic.Bool
	// logged: whether a rejection with this status has been logged.
	logged [len(rejectingStatuses)]atomic.Bool
}

// mark is what was known of a value when a request was sent with it.
type mark struct {
	rejections uint32
	accepted   bool // by any server
}

func (e *evidence) mark() mark {
	return mark{rejections: e.rejections.Load(), accepted: e.accepted.Load() > 0}
}

// accept records the success of a request. It returns whether that is the value's
// first, and whether it says anything new: it does not if a later request has
// succeeded already.
func (e *evidence) accept(sent mark) (first, news bool) {
	for {
		before := e.accepted.Load()
		if before > sent.rejections {
			return false, false
		}
		if e.accepted.CompareAndSwap(before, sent.rejections+1) {
			if before > 0 {
				e.redeemed.Store(true)
			}
			return before == 0, true
		}
	}
}

// distrusted reports whether the value has been rejected by a 401 and no later
// request has succeeded. A redeemed value is distrusted after the second such
// rejection in a row: the first may come from the endpoint that always says 401, and
// must not cost the others the value that serves them well (F10).
func (e *evidence) distrusted() bool {
	since := e.rejections.Load()
	if accepted := e.accepted.Load(); accepted > 0 {
		since -= min(accepted-1, since)
	}
	if e.redeemed.Load() {
		return since > 1
	}
	return since > 0
}

// status is 401 or 403, or 0 where no rejection is meant.
type status int

var rejectingStatuses = [...]status{http.StatusUnauthorized, http.StatusForbidden}

func (s status) index() int { return slices.Index(rejectingStatuses[:], s) }
