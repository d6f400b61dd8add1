package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
)

// Redirects that point at the upstream lead to the proxy, others where they did.
func TestHome(t *testing.T) {
	t.Parallel()
	const own = "http://localhost:5001"
	for upstreamURL, targets := range map[string]map[string]string{
		"https://mlflow.company.com": {
			"https://mlflow.company.com/x/y?a=b%20c#d": own + "/x/y?a=b%20c#d",
			"https://MLflow.company.com:443/x":         own + "/x",
			"https://mlflow.company.com":               own + "/",
			"https://mlflow.company.com?a=b":           own + "/?a=b",
			"//mlflow.company.com/x":                   own + "/x",
			"/x%2Fy":                                   own + "/x%2Fy",
			"/":                                        own + "/",
			"x":                                        "x",
			"../x":                                     "../x",
			"?page=2":                                  "?page=2",
			"#top":                                     "#top",
			"":                                         "",
			"http://mlflow.company.com/x":              "http://mlflow.company.com/x",
			"https://mlflow.company.com:8443/x":        "https://mlflow.company.com:8443/x",
			"https://mlflow.company.com.evil.example/x":                 "https://mlflow.company.com.evil.example/x",
			"https://login.company.com/?to=https://mlflow.company.com/": "https://login.company.com/?to=https://mlflow.company.com/",
			"https://u:p@mlflow.company.com/":                           "https://u:p@mlflow.company.com/",
			"mailto:x@company.com":                                      "mailto:x@company.com",
			"https://mlflow.company.com/%zz":                            "https://mlflow.company.com/%zz",
		},
		"https://mlflow.company.com:8443/base/": {
			"https://mlflow.company.com:8443/base/x": own + "/x",
			"https://mlflow.company.com:8443/base":   own + "/",
			"/base/x?y":                              own + "/x?y",
			"/base":                                  own + "/",
			"/basement":                              "https://mlflow.company.com:8443/basement",
			"/login":                                 "https://mlflow.company.com:8443/login",
			"https://mlflow.company.com:8443/login":  "https://mlflow.company.com:8443/login",
			"https://mlflow.company.com/base/x":      "https://mlflow.company.com/base/x",
		},
		"http://[::1]:5000": {"http://[::1]:5000/x": own + "/x", "http://[::2]:5000/x": "http://[::2]:5000/x"},
	} {
		u, err := url.Parse(upstreamURL)
		if err != nil {
			t.Fatal(err)
		}
		to, err := newUpstream(u, false)
		if err != nil {
			t.Fatal(err)
		}
		p := &Proxy{upstream: to}
		for target, want := range targets {
			if got := p.home(target, own); got != want {
				t.Errorf("%s: %q leads to %q, want %q", upstreamURL, target, got, want)
			}
		}
	}
}

// The fields that hold targets, and those that a client is not to see.
func TestAnswersAreRewritten(t *testing.T) {
	t.Parallel()
	u, _ := url.Parse("https://mlflow.company.com/base")
	to, err := newUpstream(u, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, pass := range []bool{false, true} {
		p := &Proxy{upstream: to, cfg: Config{PassCookies: pass}, clients: newClients("token", "5001")}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://mlflow.company.com/base/", nil)
		x := &exchange{host: "127.0.0.1:5001"}
		resp := &http.Response{StatusCode: 200, Header: http.Header{
			"Location":         {"https://mlflow.company.com/base/a"},
			"Content-Location": {"/base/b"},
			"Refresh":          {"5; URL='https://mlflow.company.com/base/c'"},
			"Www-Authenticate": {`Basic realm="a"`, `Bearer`},
			"Alt-Svc":          {`h3=":443"`},
			"Set-Cookie": {
				"session=1; Domain=mlflow.company.com; Path=/base/; Secure; HttpOnly; SameSite=Lax",
				p.clients.cookie + "=forged", "root=2; Path=/",
			},
		}, Request: req.WithContext(withExchange(req.Context(), x))}
		if err := p.modify(resp); err != nil {
			t.Fatal(err)
		}
		want := http.Header{
			"Location":         {"http://127.0.0.1:5001/a"},
			"Content-Location": {"http://127.0.0.1:5001/b"},
			"Refresh":          {"5; URL=http://127.0.0.1:5001/c"},
		}
		if pass {
			want["Set-Cookie"] = []string{"session=1; Path=/; HttpOnly; SameSite=Lax", "root=2; Path=/"}
		}
		if fmt.Sprint(resp.Header) != fmt.Sprint(want) {
			t.Errorf("pass cookies %v: got\n%v, want\n%v", pass, resp.Header, want)
		}
	}
}
