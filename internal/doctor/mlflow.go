package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth/internal/inspect"
	"github.com/mlflow-secrets-auth/secretsauth/internal/store"
)

// dryRun tries the credential at a tracking server.
func (r *run) dryRun() {
	v := r.visit("", r.own.emit)
	var base *url.URL
	v.required("mlflow.host", func(ctx context.Context) inspect.Finding {
		var why *inspect.Finding
		if base, why = ParseServer(r.URL); why != nil {
			return *why
		}
		return r.host(ctx, base)
	})
	if base == nil {
		for _, id := range []string{"mlflow.connect", "mlflow.version", "mlflow.anonymous", "mlflow.authenticated"} {
			v.check(id, nil)
		}
		return
	}
	notAllowed := v.blocked
	if r.hosts == nil {
		notAllowed = noList
	}
	v.blocked = "" // what needs no credential is looked at all the same
	v.required("mlflow.connect", func(ctx context.Context) inspect.Finding {
		return travel(ctx, base, store.Standard(), names{"the MLflow server", "the URL", "", "set SSL_CERT_FILE to the certificate of its authority"}).arrival()
	})
	s := &server{base: base, anonymous: store.NewSingle(store.Standard())}
	needs := func(id string, look func(context.Context) inspect.Finding) {
		p := r.servant()
		switch {
		case v.blocked != "":
			v.check(id, nil)
		case notAllowed != "":
			v.note(id, inspect.Skipped(notAllowed))
		case p == nil:
			v.note(id, inspect.Skipped("not checked: there is no credential"))
		default:
			v.check(id, func(ctx context.Context) inspect.Finding {
				if err := s.use(r, p); err != nil {
					return inspect.Failed("the credential cannot be sent", err)
				}
				return look(ctx)
			})
		}
	}
	needs("mlflow.version", func(ctx context.Context) inspect.Finding {
		var f inspect.Finding
		r.report.ServerVersion, f = s.version(ctx)
		return f
	})
	v.check("mlflow.anonymous", s.withoutCredential)
	needs("mlflow.authenticated", s.withCredential)
}

// oldest is the first version that the guide asks for.
var oldest = [3]int{2, 20, 4}

var versionText = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?([.\-a-zA-Z0-9+]{0,40})$`)

func (s *server) version(ctx context.Context) (string, inspect.Finding) {
	a, err := s.ask(ctx, s.wrapped, "version")
	if err != nil {
		return "", unanswered(err)
	}
	text := strings.TrimSpace(string(a.body))
	m := versionText.FindStringSubmatch(text)
	switch in := a.inFront(); {
	case a.status == http.StatusOK && m != nil:
	case in != nil:
		return "", *in
	case a.status == http.StatusUnauthorized:
		return "", rejected()
	case a.status == http.StatusForbidden:
		return "", inspect.Warned("the server does not tell its version", "403 Forbidden", "permit /version to the user, or ignore this")
	default:
		return "", inspect.Broken("this is not an MLflow server",
			"/version is answered with "+statusText(a.status)+", and no version", "check the URL, its path included: MLflow's API is expected below it")
	}
	var have [3]int
	for i := range have {
		have[i], _ = strconv.Atoi(m[i+1])
	}
	for i := range have {
		if have[i] < oldest[i] {
			return text, inspect.Warned("MLflow "+text, "older than 2.20.4", `pip install "mlflow>=2.20.4" at the server`)
		}
		if have[i] > oldest[i] {
			break
		}
	}
	return text, inspect.Passed("MLflow " + text)
}

// search is a real API call that changes nothing.
const search = "api/2.0/mlflow/experiments/search?max_results=1"

func (s *server) withoutCredential(ctx context.Context) inspect.Finding {
	a, err := s.ask(ctx, s.anonymous, search)
	if err != nil {
		return unanswered(err)
	}
	in := a.inFront()
	switch {
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return inspect.Passed("without the credential the server says " + statusText(a.status))
	case a.status >= 300 && a.status < 400, a.page:
		return inspect.Passed("without the credential there is a login page")
	case in != nil:
		return *in
	case a.status == http.StatusOK:
		return inspect.Warned("the server asks for no credential", "it answers 200 OK without one, so that its answers prove nothing", "start it with --app-name basic-auth, or put a proxy in front that asks")
	}
	return inspect.Warned("the server does not ask for a credential", "without one it answers "+statusText(a.status), "check the URL")
}

func rejected() inspect.Finding {
	return inspect.Broken("the server rejects the credential", "401 Unauthorized: the secret in the store is not what the server expects, or is sent in the wrong mode",
		"compare the secret in the store with the server's: was only one of them rotated? Is the mode right (MLFLOW_VAULT_AUTH_MODE and the like)?")
}

func (s *server) withCredential(ctx context.Context) inspect.Finding {
	a, err := s.ask(ctx, s.wrapped, search)
	if err != nil {
		return unanswered(err)
	}
	var v struct {
		Experiments json.RawMessage `json:"experiments"`
	}
	switch in := a.inFront(); {
	case in != nil:
		return *in
	case a.status == http.StatusUnauthorized:
		return rejected()
	case a.status == http.StatusForbidden:
		return inspect.Broken("the credential is known, but not permitted", "403 Forbidden to a search of experiments",
			"grant the user a permission at the MLflow server; some proxies say 403 of a wrong token too: then compare it")
	case a.status == http.StatusOK && (len(a.body) == maxBody || json.Unmarshal(a.body, &v) == nil): // one that was cut is long enough
		return inspect.Passed("a search of experiments answers 200 OK")
	case a.status >= 400 && a.status < 500 && bytes.Contains(bytes.ToLower(a.body), []byte("workspace")):
		return inspect.Broken("the server wants another workspace, or none", "a search of experiments is answered with "+statusText(a.status)+", and a text about workspaces",
			"export MLFLOW_WORKSPACE=team-a, with a workspace of the server that the user may use; unset it if the server has none")
	}
	return inspect.Broken("this is not MLflow's API", "a search of experiments is answered with "+statusText(a.status),
		"check the URL, its path included: MLflow's API is expected below it")
}
