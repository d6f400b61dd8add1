package vault

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth"
)

// engine is where a secret lies: a mount of a KV engine and the name in it.
type engine struct {
	mount, name string
	v2          bool
}

// apiPath is what is read, and what a policy must name.
func (e engine) apiPath() string {
	if e.v2 {
		return e.mount + "/data/" + e.name
	}
	return e.mount + "/" + e.name
}

// cliPath is what `vault kv` takes.
func (e engine) cliPath() string { return e.mount + "/" + e.name }

// read finds the secret's engine and reads.
func (s *session) read(ctx context.Context, token *lease) (secretsauth.Secret, error) {
	known := s.engine.Load()
	if known != nil {
		secret, found, err := s.readFrom(ctx, token, *known)
		if found != noPath && found != otherVersion && found != noMount {
			return secret, err
		}
		// The engine may have been mounted elsewhere since, or upgraded.
		s.engine.CompareAndSwap(known, nil)
	}
	e, err := s.discover(ctx, token)
	if err != nil {
		return secretsauth.Secret{}, err
	}
	if e == nil {
		secret, _, err := s.guess(ctx, token)
		return secret, err
	}
	secret, found, err := s.readFrom(ctx, token, *e)
	if err == nil || found == refused { // another token may read it
		s.engine.Store(e)
	}
	return secret, err
}

// discover asks where the mount of the path ends and which version it has, the
// way `vault kv get` does. Any token may ask about mounts that it has some right
// to. It returns nil if Vault does not say.
func (s *session) discover(ctx context.Context, token *lease) (*engine, error) {
	path := s.target.path
	a, err := s.do(ctx, request{path: "sys/internal/ui/mounts/" + path, token: token})
	if err != nil {
		return nil, err
	}
	switch {
	case a.status == http.StatusOK:
		return s.mountOf(a.body)
	case a.says("namespace not found"):
		return nil, s.noNamespace()
	case a.status == http.StatusForbidden && !a.says("preflight") && !s.accepted(ctx, token, a):
		return nil, &refusal{answer: a}
	}
	return nil, nil //nolint:nilnil // not known, and no error
}

func (s *session) mountOf(body []byte) (*engine, error) {
	var v struct {
		Data struct {
			Path    string         `json:"path"`
			Type    string         `json:"type"`
			Options map[string]any `json:"options"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &v) != nil || v.Data.Path == "" {
		return nil, nil //nolint:nilnil // not known, and no error
	}
	e := engine{mount: strings.Trim(v.Data.Path, "/"), v2: v.Data.Options["version"] == "2"}
	rest, inside := strings.CutPrefix(s.target.path+"/", e.mount+"/")
	if !inside {
		return nil, nil //nolint:nilnil // not known, and no error
	}
	e.name = strings.TrimSuffix(rest, "/")
	if e.v2 {
		if name, ok := strings.CutPrefix(e.name, "data/"); ok {
			e.name = name // the path of the API is the same secret
		}
	}
	switch t := v.Data.Type; {
	case t != "" && !isKV(t):
		return nil, s.notKV(e)
	case e.name == "":
		return nil, badConfig("MLFLOW_VAULT_SECRET_PATH (Config.SecretPath) names a mount, "+e.mount+", and no secret in it",
			"list its secrets with `vault kv list "+e.mount+"`")
	case !e.v2 && s.target.version > 0:
		return nil, s.noVersions(e)
	}
	return &e, nil
}

func isKV(kind string) bool { return kind == "kv" || kind == "generic" } // generic is version 1's old name

// guess tries the likely engines in turn and reports the failure that says most.
func (s *session) guess(ctx context.Context, token *lease) (secretsauth.Secret, found, error) {
	best, bestErr, said := final, error(nil), s.last
	for _, e := range s.candidates() {
		secret, found, err := s.readFrom(ctx, token, e)
		if err == nil {
			s.engine.Store(&e)
		}
		if found == final {
			return secret, final, err
		}
		if r, ok := errors.AsType[*refusal](err); ok {
			if !s.accepted(ctx, token, r.answer) {
				return secretsauth.Secret{}, refused, err // no use asking elsewhere
			}
			r.guessed = true
		}
		if found > best {
			best, bestErr, said = found, err, s.last
		}
	}
	s.last = said
	return secretsauth.Secret{}, best, bestErr
}

// maxGuesses bounds what a wrong path costs.
const maxGuesses = 4

// candidates are the engines that the path may mean, likeliest first.
func (s *session) candidates() []engine {
	segments := strings.Split(s.target.path, "/")
	split := func(mount, name int, v2 bool) engine {
		return engine{strings.Join(segments[:mount], "/"), strings.Join(segments[name:], "/"), v2}
	}
	var all []engine
	if i := slices.Index(segments[1:], "data") + 1; i > 0 && i < len(segments)-1 {
		all = append(all, split(i, i+1, true), split(1, 1, false))
	} else {
		all = append(all, split(1, 1, true), split(1, 1, false))
		for i := 2; i < len(segments); i++ {
			all = append(all, split(i, i, true))
		}
	}
	if s.target.version > 0 {
		all = slices.DeleteFunc(all, func(e engine) bool { return !e.v2 })
	}
	return all[:min(len(all), maxGuesses)]
}
