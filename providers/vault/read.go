package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/fields"
)

// found says what became of reading one place. The later it comes in this list, the
// more a failure tells while the engine is guessed.
type found int

const (
	final        found = iota // the secret, or a failure that is the same everywhere
	noMount                   // nothing is mounted there
	otherVersion              // the mount is KV of the other version
	refused                   // the token may not read there, as its error says: a *refusal
	noPath                    // the engine has no such secret
)

// refusal is a 403: the token is not accepted, or it is and may not read.
type refusal struct {
	answer  answer
	engine  *engine // what was to be read; nil: its mount was still asked for
	guessed bool    // the engine is a guess
}

func (*refusal) Error() string { return "refused" }

// reading is where a secret was looked for, and what KV version 2 said of it.
type reading struct {
	engine   engine
	metadata metadata
}

// readFrom reads the secret at e.
func (s *session) readFrom(ctx context.Context, token *lease, e engine) (secretsauth.Secret, found, error) {
	s.last = reading{engine: e}
	var query url.Values
	if e.v2 && s.target.version > 0 {
		query = url.Values{"version": {strconv.Itoa(s.target.version)}}
	}
	a, err := s.do(ctx, request{path: e.apiPath(), query: query, token: token})
	if err != nil {
		return secretsauth.Secret{}, final, err
	}
	switch a.status {
	case http.StatusOK:
		if e.v2 {
			return s.parseV2(a, e)
		}
		secret, err := s.parseV1(a, e)
		return secret, final, err
	case http.StatusUnauthorized, http.StatusForbidden:
		if a.page() {
			return secretsauth.Secret{}, final, s.unexpected(a, e)
		}
		return secretsauth.Secret{}, refused, &refusal{answer: a, engine: &e}
	case http.StatusNotFound:
		return s.notThere(a, e)
	}
	return secretsauth.Secret{}, final, s.unexpected(a, e)
}

// parseV1 takes the answer's data. Its lease_duration is advice on how often to
// read, and no expiry.
func (s *session) parseV1(a answer, e engine) (secretsauth.Secret, error) {
	var v struct {
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(a.body, &v) != nil || len(v.Data) == 0 {
		return secretsauth.Secret{}, s.invalid(e, `Vault's answer has no field "data"`)
	}
	return s.parse(v.Data, e)
}

// versioned is KV version 2's answer: the secret's data inside the answer's (S81).
type versioned struct {
	Data struct {
		Data     json.RawMessage `json:"data"`
		Metadata metadata        `json:"metadata"`
	} `json:"data"`
}

func (v versioned) empty() bool { return len(v.Data.Data) == 0 || string(v.Data.Data) == "null" }

// metadata is of one version.
type metadata struct {
	Version      int    `json:"version"`
	CreatedTime  string `json:"created_time"`
	Destroyed    bool   `json:"destroyed"`
	DeletionTime string `json:"deletion_time"`
}

func (m metadata) created() time.Time { return parseTime(m.CreatedTime) }

// deletion is when the version is or was deleted, or the zero time.
func (m metadata) deletion() time.Time { return parseTime(m.DeletionTime) }

// parseTime is the zero time for what is none.
func parseTime(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

func (s *session) parseV2(a answer, e engine) (secretsauth.Secret, found, error) {
	var v versioned
	err := json.Unmarshal(a.body, &v)
	m := v.Data.Metadata
	s.last.metadata = m
	if err == nil && m.Destroyed || err == nil && v.empty() && !m.deletion().IsZero() {
		return secretsauth.Secret{}, final, s.goneVersion(m, e)
	}
	if err != nil || v.empty() {
		return secretsauth.Secret{}, otherVersion, s.invalid(e, `Vault's answer has no field "data" inside "data"`)
	}
	secret, err := s.parse(v.Data.Data, e)
	return secret.WithExpiry(m.deletion()), final, err
}

func (s *session) parse(data []byte, e engine) (secretsauth.Secret, error) {
	secret, err := s.fields.Parse(data)
	if err != nil {
		summary, fix := fields.Explain(s.fields, err, putFix(e))
		return secretsauth.Secret{}, newError(secretsauth.ErrInvalidSecret, summary, fix)
	}
	return secret, nil
}

// notThere tells the kinds of 404 apart.
func (s *session) notThere(a answer, e engine) (secretsauth.Secret, found, error) {
	var v versioned
	switch {
	case a.page():
		return secretsauth.Secret{}, final, s.unexpected(a, e)
	case a.says("namespace not found"):
		return secretsauth.Secret{}, final, s.noNamespace()
	case a.says("no handler for route"):
		return secretsauth.Secret{}, noMount, s.noMount()
	case a.says("versioned K/V"):
		return secretsauth.Secret{}, otherVersion, s.noPath(e)
	case e.v2 && json.Unmarshal(a.body, &v) == nil && v.Data.Metadata.Version > 0:
		s.last.metadata = v.Data.Metadata
		return secretsauth.Secret{}, final, s.goneVersion(v.Data.Metadata, e)
	}
	return secretsauth.Secret{}, noPath, s.noPath(e)
}
