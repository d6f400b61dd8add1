package secretsauth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

func TestWhatIsSent(t *testing.T) {
	t.Parallel()
	const (
		auto   = secretsauth.AuthAuto
		bearer = secretsauth.AuthBearer
		basic  = secretsauth.AuthBasic
	)
	b64 := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	parsed := func(raw string) secretsauth.Secret {
		s, err := secretsauth.ParseSecret([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	abc, p, q := canary.New(), canary.New(), canary.New()
	token, pair, both := secretsauth.NewToken(abc), secretsauth.NewUserPassword("u", p), parsed(`{"token":"`+abc+`","username":"u","password":"`+p+`"}`)
	for _, test := range []struct {
		name   string
		secret secretsauth.Secret
		mode   secretsauth.AuthMode
		header string
		want   string // empty: refused
	}{
		{"auto, token", token, auto, "", "Bearer " + abc},
		{"auto, pair", pair, auto, "", b64("u:" + p)},
		{"S84 auto, both: the token", both, auto, "", "Bearer " + abc},
		{"S84 basic, both: the pair", both, basic, "", b64("u:" + p)},
		{"auto, bare user:password", parsed("u:" + p), auto, "", b64("u:" + p)},
		{"bearer, token", token, bearer, "", "Bearer " + abc},
		{"bearer, bare user:password, whole", parsed("u:" + p + ":" + q), bearer, "", "Bearer u:" + p + ":" + q},
		{"bearer, pair", pair, bearer, "", ""},
		{"basic, pair", pair, basic, "", b64("u:" + p)},
		{"basic, token user:password", secretsauth.NewToken("u:" + p + ":" + q), basic, "", b64("u:" + p + ":" + q)},
		{"basic, token", token, basic, "", ""},
		{"auto, token with a colon", secretsauth.NewToken("u:" + p), auto, "", "Bearer u:" + p},
		{"basic, outside ASCII", secretsauth.NewUserPassword("ü", p+"ä"), basic, "", b64("ü:" + p + "ä")},
		{"hint basic", secretsauth.NewToken("u:" + p).WithMode(basic), auto, "", b64("u:" + p)},
		{"hint bearer", parsed("u:" + p).WithMode(bearer), auto, "", "Bearer u:" + p},
		{"Config wins over the hint", token.WithMode(basic), bearer, "", "Bearer " + abc},

		{"S85 Bearer stored with the token", secretsauth.NewToken("Bearer " + abc), auto, "", "Bearer " + abc},
		{"S85 bearer in lower case, two spaces", secretsauth.NewToken("bearer  " + abc), auto, "", "Bearer " + abc},
		{"S85 Basic stored with the token", secretsauth.NewToken("Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+p))), auto, "", ""},
		{"S85 Bearer Basic", secretsauth.NewToken("Bearer Basic " + abc), auto, "", ""},
		{"S85 a token that only begins like it", secretsauth.NewToken("Bearer" + abc), auto, "", "Bearer Bearer" + abc},
		{"S74 S85 Bearer alone", secretsauth.NewToken("Bearer "), auto, "", ""},
		{"S74 nothing", secretsauth.Secret{}, auto, "", ""},
		{"S74 empty token", secretsauth.NewToken(" \n"), auto, "", ""},
		{"empty password", secretsauth.NewUserPassword("u", ""), auto, "", ""},
		{"S77 colon in the username", secretsauth.NewUserPassword("u:v", p), auto, "", ""},
		{"S78 line end inside the password", secretsauth.NewUserPassword("u", p+"\r\n"+q), auto, "", ""},
		{"S73 line end inside the token", secretsauth.NewToken(abc + "\n" + abc), auto, "", ""},
		{"S73 line end inside, custom header", secretsauth.NewToken(abc + "\n" + abc), auto, "X-Api-Key", ""},
		{"S76 outside ASCII, custom header", secretsauth.NewToken(abc + "é"), auto, "X-Api-Key", ""},

		{"custom header, token", token, auto, "X-Api-Key", abc},
		{"custom header, bearer", token, bearer, "x-api-key", abc},
		{"custom header, Bearer stored with it", secretsauth.NewToken("Bearer " + abc), auto, "X-Api-Key", "Bearer " + abc},
		{"custom header, bare user:password", parsed("u:" + p), auto, "X-Api-Key", "u:" + p},
		{"custom header, pair", pair, auto, "X-Api-Key", b64("u:" + p)},
		{"custom header, basic", secretsauth.NewToken("u:" + p), basic, "X-Api-Key", b64("u:" + p)},
		{"Authorization in another case", token, auto, "authorization", "Bearer " + abc},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			name := "Authorization"
			if test.header != "" {
				name = test.header
			}
			var got []string
			sent := false
			rt, err := newTransport(secretsauth.Static(test.secret), secretsauth.Config{
				AllowedHosts: []string{"mlflow.test"}, Mode: test.mode, HeaderName: test.header,
				Base: roundTripper(func(req *http.Request) (*http.Response, error) {
					sent, got = true, req.Header.Values(name)
					return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://mlflow.test/", nil)
			resp, err := netted{rt}.RoundTrip(req)
			if test.want == "" {
				if !errors.Is(err, secretsauth.ErrInvalidSecret) || sent {
					t.Fatalf("error %v, sent %v; want ErrInvalidSecret, unsent", err, sent)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if len(got) != 1 || got[0] != test.want {
				t.Errorf("%d values, and not the one that was wanted", len(got))
			}
		})
	}
}

func TestS73TheErrorNamesTheReferenceAndNotTheValue(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"\n", "\r", "\x00", "\x7f", "\v", "\x1b"} {
		c := canary.New()
		w := newWorld(t)
		w.store.put(c + bad + c)
		w.wantErr("/", secretsauth.ErrInvalidSecret) // and it is not sent
		_, err := w.do("/")
		if err == nil || !strings.Contains(err.Error(), w.store.Key()) || !strings.Contains(err.Error(), "control character") {
			t.Errorf("%q: the error does not name the secret's key, or not what is wrong", bad)
		}
		canary.AbsentFrom(t, "the error", err, c)
	}
}

func TestASharedCacheServesEveryMode(t *testing.T) {
	t.Parallel()
	both, err := secretsauth.ParseSecret([]byte(`{"token":"` + canary.New() + `","username":"u","password":"` + canary.New() + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		secret secretsauth.Secret
		mode   secretsauth.AuthMode
		kind   error
	}{
		{"bearer", both, secretsauth.AuthBearer, nil},
		{"basic", both, secretsauth.AuthBasic, nil},
		{"basic of a token", secretsauth.NewToken(canary.New()), secretsauth.AuthBasic, secretsauth.ErrInvalidSecret},
	} {
		cache := secretsauth.NewCache(secretsauth.Static(test.secret), secretsauth.Config{})
		rt, err := newTransport(cache, secretsauth.Config{AllowedHosts: []string{"*"}, Mode: test.mode})
		if err != nil {
			t.Fatal(err)
		}
		if err := rt.Warm(t.Context()); !errors.Is(err, test.kind) {
			t.Errorf("%s: %v, want %v", test.name, err, test.kind)
		}
	}
}

func TestS86ASecretInThePlaceOfTheNameIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"=", "/", " ", ":", "\n", "é", "\xff"} {
		c := canary.New()
		_, err := secretsauth.NewTransport(secretsauth.Static(secretsauth.NewToken("t")), secretsauth.Config{AllowedHosts: []string{"*"}, HeaderName: c + end})
		if !errors.Is(err, secretsauth.ErrConfig) {
			t.Errorf("%q: no ErrConfig", end)
		}
		canary.AbsentFrom(t, "the error", err, c)
	}
}

func TestS86HeaderNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Host", "Content-Length", "content-length", "Transfer-Encoding", "Proxy-Authorization", "Cookie", "Connection",
		"X Api Key", "X-Api-Key:", "X-Api-Key\r\nEvil", "Ünïcode", "\x00",
	} {
		_, err := newTransport(secretsauth.Static(secretsauth.NewToken(canary.New())), secretsauth.Config{AllowedHosts: []string{"*"}, HeaderName: name})
		if !errors.Is(err, secretsauth.ErrConfig) || !strings.Contains(err.Error(), "MLFLOW_AUTH_HEADER_NAME") {
			t.Errorf("S14 %q: %v, want ErrConfig that names the variable", name, err)
		}
	}
}
