package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/nearest"
)

// Of what is not there the doctor says what there is instead, as far as the token may
// see it.

// withNeighbours adds to a secret that was not found the versions that it has, or
// else the names beside it.
func (s *session) withNeighbours(ctx context.Context, f inspect.Finding) inspect.Finding {
	token, err := s.login.token(ctx, s, nil)
	if err != nil || s.last.engine.mount == "" { // it was not looked for anywhere
		return f
	}
	if s.last.metadata.Version > 0 || s.target.version > 0 {
		if versions, best := s.versions(ctx, token); versions != "" {
			f.Cause += "; its versions are " + versions
			if best > 0 {
				f.Fix += fmt.Sprintf("; version %d can be read: export MLFLOW_VAULT_SECRET_VERSION=%[1]d", best)
			}
			return f
		}
	}
	return s.withNames(ctx, token, f)
}

// withMisspelling is for a token that may read one path alone, and list: of every
// other path, there or not, Vault says that it is denied.
func (s *session) withMisspelling(ctx context.Context, f inspect.Finding) inspect.Finding {
	e := s.last.engine
	token, err := s.login.token(ctx, s, nil)
	if err != nil || e.mount == "" {
		return f
	}
	i := strings.LastIndexByte(e.name, '/')
	folder, name := engine{mount: e.mount, name: e.name[:max(i, 0)], v2: e.v2}, e.name[i+1:]
	names, _ := s.names(ctx, token, folder)
	if slices.Contains(names, name) {
		return f
	}
	return holding(f, folder, names, name)
}

// versions lists the latest versions of the secret and names the latest of them
// that can be read.
func (s *session) versions(ctx context.Context, token *lease) (text string, best int) {
	e := s.last.engine
	if !e.v2 {
		return "", 0
	}
	var v struct {
		Data struct {
			Versions map[int]metadata `json:"versions"`
		} `json:"data"`
	}
	if _, ok := s.ask(ctx, request{path: e.mount + "/metadata/" + e.name, token: token}, &v); !ok {
		return "", 0
	}
	numbers := slices.Sorted(maps.Keys(v.Data.Versions))
	numbers = numbers[max(0, len(numbers)-maxListed):]
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = strconv.Itoa(n)
		switch m := v.Data.Versions[n]; {
		case m.Destroyed:
			texts[i] += " (destroyed)"
		case !m.deletion().IsZero() && m.deletion().Before(time.Now()):
			texts[i] += " (deleted)"
		default:
			best = n
		}
	}
	return strings.Join(texts, ", "), best
}

// withNames adds the names in the secret's folder, or in the nearest folder above
// it that there is, and the one that was probably meant.
func (s *session) withNames(ctx context.Context, token *lease, f inspect.Finding) inspect.Finding {
	e := s.last.engine
	segments := strings.Split(e.name, "/")
	for i := len(segments) - 1; i >= 0 && i > len(segments)-1-maxGuesses; i-- {
		in := engine{mount: e.mount, name: strings.Join(segments[:i], "/"), v2: e.v2}
		if names, empty := s.names(ctx, token, in); !empty {
			return holding(f, in, names, segments[i])
		}
	}
	return f
}

// holding adds what a folder holds, and the name of it that was probably meant.
func holding(f inspect.Finding, in engine, names []string, meant string) inspect.Finding {
	text := list(names)
	if text == "" {
		return f
	}
	folder := strings.TrimSuffix(in.cliPath(), "/")
	f.Cause += fmt.Sprintf("; %s holds %s", folder, text)
	if near := nearest.Of(meant, shown(names)); near != "" && near != meant {
		f.Fix = fmt.Sprintf("did you mean %q? else ", folder+"/"+near) + f.Fix
	}
	return f
}

// names lists a folder. Of one that is not there Vault says nothing, and no more
// than that: it is empty.
func (s *session) names(ctx context.Context, token *lease, folder engine) (names []string, empty bool) {
	path := folder.mount
	if folder.v2 {
		path += "/metadata"
	}
	if folder.name != "" {
		path += "/" + folder.name
	}
	var v struct {
		Data struct {
			Keys []string `json:"keys"`
		} `json:"data"`
	}
	a, _ := s.ask(ctx, request{path: path, query: url.Values{"list": {"true"}}, token: token}, &v)
	return v.Data.Keys, a.status == http.StatusNotFound && a.texts == ""
}

// withMounts adds the KV engines that the token may use.
func (s *session) withMounts(ctx context.Context, token *lease, f inspect.Finding) inspect.Finding {
	var v struct {
		Data struct {
			Secret map[string]struct {
				Type string `json:"type"`
			} `json:"secret"`
		} `json:"data"`
	}
	if _, ok := s.ask(ctx, request{path: "sys/internal/ui/mounts", token: token}, &v); !ok {
		return f
	}
	var mounts []string
	for _, path := range slices.Sorted(maps.Keys(v.Data.Secret)) {
		if isKV(v.Data.Secret[path].Type) {
			mounts = append(mounts, strings.TrimSuffix(path, "/"))
		}
	}
	f.Cause += "; KV engines that the token may use: " + orDefault(list(mounts), "none")
	first, _, _ := strings.Cut(s.target.path, "/")
	if near := nearest.Of(first, shown(mounts)); near != "" {
		f.Fix = fmt.Sprintf("did you mean %q? else ", near) + f.Fix
	}
	return f
}

// ask reads into v, if Vault answers as it should.
func (s *session) ask(ctx context.Context, r request, v any) (answer, bool) {
	a, err := s.do(ctx, r)
	return a, err == nil && a.status == http.StatusOK && json.Unmarshal(a.body, v) == nil
}
