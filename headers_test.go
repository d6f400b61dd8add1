package secretsauth_test

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// sentHeaders are the headers of a request as the base gets it, or the error with
// which it was not sent.
func sentHeaders(t *testing.T, p secretsauth.Provider, cfg secretsauth.Config, callers http.Header) (http.Header, error) {
	t.Helper()
	var sent http.Header
	cfg.AllowedHosts = []string{"mlflow.test"}
	cfg.Base = roundTripper(func(req *http.Request) (*http.Response, error) {
		sent = req.Header
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})
	rt, err := newTransport(p, cfg)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://mlflow.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = callers
	before := callers.Clone()
	resp, err := netted{rt}.RoundTrip(req)
	if !maps.EqualFunc(req.Header, before, slices.Equal) {
		t.Error("S69 the caller's headers were changed")
	}
	if err != nil {
		if sent != nil {
			t.Error("there is an error, and the request was sent all the same")
		}
		return nil, err
	}
	_ = resp.Body.Close()
	return sent, nil
}

// sameHeaders compares without showing a value.
func sameHeaders(t *testing.T, got, want http.Header) {
	t.Helper()
	if names, wanted := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(names, wanted) {
		t.Fatalf("headers %q, want %q", names, wanted)
	}
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s has %d values, and not those that were wanted", name, len(got[name]))
		}
	}
}

func TestWhatIsSentBesideTheCredential(t *testing.T) {
	t.Parallel()
	const id, key, team = "Cf-Access-Client-Id", "Cf-Access-Client-Secret", "X-Mlflow-Workspace"
	abc, k := canary.New(), canary.New()
	token, pair := secretsauth.NewToken(abc), secretsauth.NewUserPassword("u", abc)
	gate := func(s secretsauth.Secret) secretsauth.Secret {
		return s.WithHeader("CF-Access-Client-Id", "id").WithHeader("CF-Access-Client-Secret", k)
	}
	alone := gate(secretsauth.Secret{})
	workspace := http.Header{"X-MLFLOW-WORKSPACE": {"configured"}}
	for _, test := range []struct {
		name    string
		secret  secretsauth.Secret
		cfg     secretsauth.Config
		callers http.Header
		want    http.Header // nil: refused, with ErrInvalidSecret
	}{
		{name: "a token and two headers", secret: gate(token),
			want: http.Header{"Authorization": {"Bearer " + abc}, id: {"id"}, key: {k}}},
		{name: "headers alone", secret: alone, want: http.Header{id: {"id"}, key: {k}}},
		{name: "headers alone leave the caller's Authorization", secret: alone, callers: http.Header{"Authorization": {"Bearer mine"}},
			want: http.Header{"Authorization": {"Bearer mine"}, id: {"id"}, key: {k}}},
		{name: "headers alone, where the credential's header is another", secret: alone, cfg: secretsauth.Config{HeaderName: "X-Api-Key"},
			callers: http.Header{"X-Api-Key": {"mine"}}, want: http.Header{"X-Api-Key": {"mine"}, id: {"id"}, key: {k}}},
		{name: "headers alone, bearer", secret: alone, cfg: secretsauth.Config{Mode: secretsauth.AuthBearer}},
		{name: "headers alone, basic", secret: alone, cfg: secretsauth.Config{Mode: secretsauth.AuthBasic}},
		{name: "headers alone, bearer, another header", secret: alone, cfg: secretsauth.Config{Mode: secretsauth.AuthBearer, HeaderName: "X-Api-Key"}},
		{name: "headers alone, hint bearer", secret: alone.WithMode(secretsauth.AuthBearer)},
		{name: "headers alone, hint basic, another header", secret: alone.WithMode(secretsauth.AuthBasic), cfg: secretsauth.Config{HeaderName: "X-Api-Key"}},
		{name: "basic, and a header", secret: pair.WithHeader("X-Gate", k), cfg: secretsauth.Config{HeaderName: "X-Api-Key", Mode: secretsauth.AuthBearer},
			want: http.Header{"X-Api-Key": {basicOf("u", abc)}, "X-Gate": {k}}},
		{name: "another header, and Authorization as a further one", secret: token.WithHeader("authorization", k), cfg: secretsauth.Config{HeaderName: "X-Api-Key"},
			want: http.Header{"X-Api-Key": {abc}, "Authorization": {k}}},

		{name: "the caller's are overwritten, any spelling, any number", secret: token.WithHeader("X-Gate", k),
			callers: http.Header{"X-Gate": {"a", "b"}, "x-gate": {"c"}, "X-GATE": {"d"}, "authorization": {"e"}, "X-Other": {"f"}},
			want:    http.Header{"Authorization": {"Bearer " + abc}, "X-Gate": {k}, "X-Other": {"f"}}},
		{name: "the same name again replaces", secret: token.WithHeader("X-Gate", "old").WithHeader("x-GATE", k),
			want: http.Header{"Authorization": {"Bearer " + abc}, "X-Gate": {k}}},
		{name: "S72 white space around the value", secret: token.WithHeader("X-Gate", " "+k+"\r\n"),
			want: http.Header{"Authorization": {"Bearer " + abc}, "X-Gate": {k}}},
		{name: "a header that net/http is told to leave out", secret: token.WithHeader("X-Gate", k), callers: http.Header{"User-Agent": nil},
			want: http.Header{"Authorization": {"Bearer " + abc}, "X-Gate": {k}, "User-Agent": nil}},

		{name: "the workspace of a secret", secret: token.WithHeader("x-mlflow-workspace", "stored"),
			want: http.Header{"Authorization": {"Bearer " + abc}, team: {"stored"}}},
		{name: "the caller's workspace wins over the secret's", secret: token.WithHeader(team, "stored"), callers: http.Header{team: {"mine"}},
			want: http.Header{"Authorization": {"Bearer " + abc}, team: {"mine"}}},
		{name: "the configured workspace wins over the secret's", secret: token.WithHeader(team, "stored"), cfg: secretsauth.Config{Headers: workspace},
			want: http.Header{"Authorization": {"Bearer " + abc}, team: {"configured"}}},
		{name: "the caller's workspace wins over both, in its own spelling", secret: token.WithHeader(team, "stored"), cfg: secretsauth.Config{Headers: workspace},
			callers: http.Header{"x-mlflow-workspace": {"mine"}}, want: http.Header{"Authorization": {"Bearer " + abc}, "x-mlflow-workspace": {"mine"}}},
		{name: "a workspace is no credential", secret: secretsauth.Secret{}.WithHeader(team, "stored")},

		{name: "configured headers", secret: token, cfg: secretsauth.Config{Headers: http.Header{"x-several": {"a", " b "}, "User-Agent": {"trainer"}}},
			want: http.Header{"Authorization": {"Bearer " + abc}, "X-Several": {"a", "b"}, "User-Agent": {"trainer"}}},
		{name: "the caller's win over configured ones", secret: token, cfg: secretsauth.Config{Headers: http.Header{"X-Several": {"a"}, "User-Agent": {"trainer"}}},
			callers: http.Header{"x-several": {"mine"}}, want: http.Header{"Authorization": {"Bearer " + abc}, "x-several": {"mine"}, "User-Agent": {"trainer"}}},
		{name: "a caller's header without a value is none", secret: token, cfg: secretsauth.Config{Headers: workspace}, callers: http.Header{team: {}},
			want: http.Header{"Authorization": {"Bearer " + abc}, team: {"configured"}}},
		{name: "the secret's win over configured ones", secret: token.WithHeader("X-Gate", k), cfg: secretsauth.Config{Headers: http.Header{"X-Gate": {"configured"}}},
			want: http.Header{"Authorization": {"Bearer " + abc}, "X-Gate": {k}}},

		{name: "the header of the credential", secret: token.WithHeader("authorization", k)},
		{name: "headers alone, one of them the header of the credential", secret: alone.WithHeader("Authorization", k)},
		{name: "another header of the credential", secret: token.WithHeader("x-api-key", k), cfg: secretsauth.Config{HeaderName: "X-Api-Key"}},
		{name: "no name", secret: token.WithHeader("", k)},
		{name: "a name with a space", secret: token.WithHeader("X Gate", k)},
		{name: "a name with a line end", secret: token.WithHeader("X-Gate\r\nEvil", k)},
		{name: "S14 a name that is not for credentials", secret: token.WithHeader("Proxy-Authorization", k)},
		{name: "a plain name", secret: token.WithHeader("user-agent", k)},
		{name: "framing", secret: token.WithHeader("Content-Length", "0")},
		{name: "no value", secret: token.WithHeader("X-Gate", " \n")},
		{name: "S73 a line end inside the value", secret: token.WithHeader("X-Gate", k+"\n"+k)},
		{name: "S76 a value outside ASCII", secret: token.WithHeader("X-Gate", k+"é")},
		{name: "S79 a value over the limit", secret: token.WithHeader("X-Gate", strings.Repeat("x", 1<<20))},
		{name: "a bad header stays one when another is added", secret: token.WithHeader("X Gate", k).WithHeader("X-Gate", k)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := sentHeaders(t, secretsauth.Static(test.secret), test.cfg, test.callers)
			if test.want == nil {
				if !errors.Is(err, secretsauth.ErrInvalidSecret) || !strings.Contains(err.Error(), "fix: ") {
					t.Fatalf("%v, want ErrInvalidSecret with a fix", err)
				}
				canary.AbsentFrom(t, "the error", err, abc, k)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			sameHeaders(t, got, test.want)
		})
	}
}

func basicOf(user, password string) string {
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(user, password)
	return req.Header.Get("Authorization")
}

// A name may be a secret that was put in the wrong place: the value's.
func TestErrorsOfFurtherHeadersNameOnlyWhatIsKnown(t *testing.T) {
	t.Parallel()
	c := canary.New()
	for _, test := range []struct {
		name string
		add  [2]string
		says string
	}{
		{"a known name, bad value", [2]string{"cf-access-client-secret", c + "\n" + c}, "header Cf-Access-Client-Secret of the secret contains a control character"},
		{"an unknown name, bad value", [2]string{"X-" + c, c + "\n" + c}, "header 2 of 2 in the secret"},
		{"a name and a value that have changed places", [2]string{c + "=", "X-Api-Key"}, "has the character '='"},
		{"a name that is not for credentials", [2]string{"host", c}, "Host is not for credentials"},
	} {
		secret := secretsauth.NewToken(c)
		secret = secret.WithHeader("A", "1").WithHeader(test.add[0], test.add[1])
		_, err := sentHeaders(t, secretsauth.Static(secret), secretsauth.Config{}, nil)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: the error does not say %q", test.name, test.says)
		}
		canary.AbsentFrom(t, test.name+": the error", err, c)
	}
}

// KeepCallerHeader is about every header that the secret would set over the caller's.
func TestKeepCallerHeaderWithSeveralHeaders(t *testing.T) {
	t.Parallel()
	c := canary.New()
	two := secretsauth.NewToken(c).WithHeader("X-Gate", c)
	two = two.WithHeader("X-Mlflow-Workspace", "stored")
	all := http.Header{"Authorization": {"Bearer " + c}, "X-Gate": {c}, "X-Mlflow-Workspace": {"stored"}, "X-Along": {"1"}}
	with := func(more http.Header) http.Header {
		h := all.Clone()
		maps.Copy(h, more)
		return h
	}
	for _, test := range []struct {
		name    string
		callers http.Header
		want    http.Header // nil: what the caller has sent
	}{
		{"nothing of its own", nil, all},
		{"its own Authorization", http.Header{"Authorization": {"Bearer mine"}}, nil},
		{"its own further header", http.Header{"X-Gate": {"mine"}}, nil},
		{"its own further header, in another spelling", http.Header{"x-gate": {"mine"}, "X-Other": {"1"}}, nil},
		{"an empty further header, of which there is nothing to keep", http.Header{"X-Gate": {" "}}, all},
		{"its own workspace, which is no credential", http.Header{"X-Mlflow-Workspace": {"mine"}}, with(http.Header{"X-Mlflow-Workspace": {"mine"}})},
		{"another header", http.Header{"X-Other": {"1"}}, with(http.Header{"X-Other": {"1"}})},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := sentHeaders(t, secretsauth.Static(two), secretsauth.Config{KeepCallerHeader: true, Headers: http.Header{"X-Along": {"1"}}}, test.callers)
			if err != nil {
				t.Fatal(err)
			}
			if test.want == nil {
				test.want = test.callers
			}
			sameHeaders(t, got, test.want)
		})
	}
}

func TestConfigHeadersAreChecked(t *testing.T) {
	t.Parallel()
	c := canary.New()
	for name, h := range map[string]http.Header{
		"framing":                      {"Content-Length": {"0"}},
		"routing":                      {"host": {"other.test"}},
		"a credential":                 {"Authorization": {"Bearer x"}},
		"a credential for proxies":     {"Proxy-Authorization": {"Basic x"}},
		"a cookie":                     {"Cookie": {"session=1"}},
		"the header of the credential": {"x-api-key": {"x"}},
		"no name":                      {"": {"x"}},
		"a name with a space":          {"X " + c: {"x"}},
		"two spellings":                {"X-Team": {"a"}, "x-team": {"b"}},
		"no value":                     {"X-Team": nil},
		"an empty value":               {"X-Team": {"a", " "}},
		"a line end in the value":      {"X-" + c: {"a\nEvil: b"}},
		"a value outside ASCII":        {"X-Team": {"é"}},
	} {
		cfg := secretsauth.Config{AllowedHosts: []string{"*"}, HeaderName: "X-Api-Key", Headers: h}
		_, err := newTransport(secretsauth.Static(secretsauth.NewToken(c)), cfg)
		if !errors.Is(err, secretsauth.ErrConfig) || !strings.Contains(err.Error(), "Config.Headers") || !strings.Contains(err.Error(), "fix: ") {
			t.Errorf("%s: %v, want ErrConfig that names the field, with a fix", name, err)
		}
		canary.AbsentFrom(t, name+": the error", err, c)
	}
}
