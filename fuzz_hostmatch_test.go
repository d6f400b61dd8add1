package secretsauth_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// FuzzHostMatchAgainstDial compares what the matcher makes of a URL with the
// address that net/http dials for it. No URL, whether it is parsed or put
// together by hand, may bring the credential to a host that its pattern does not
// cover.
func FuzzHostMatchAgainstDial(f *testing.F) {
	for _, c := range hostCases {
		for _, raw := range c.urls {
			f.Add(raw)
			if u, err := url.Parse(raw); err == nil {
				f.Add(u.Scheme + "://" + u.Host)
			}
		}
	}
	for _, host := range []string{
		`evil\@allowed`, "allowed%40evil", "evil%23.company.com", "evil%2f.company.com", "evil%00.company.com", "[evil]", "[v1.x]", "[127.0.0.1]", "[::1].company.com", "::1",
		"[::1%.company.com]", "[fe80::1%25eth0]:80", "mlflow.company.com:+80", "mlflow.company.com:80:90", "a@mlflow.company.com", "MLFLOW-\u0130", "\u212aube.company.com", "mlflow-\u3002evil",
		"secure.company.com:8443", "10.1.2.3", "[::ffff:10.1.2.3]", "[::1]:5000", "api-1", "mlflow-a.corp.com", "mlflow-.", "mlflow.company.com\r\n", "xn--mlflw-mye.company.com",
	} {
		f.Add("http://" + host)
		f.Add("https://" + host + "/x")
	}

	token := canary.New()
	spy := &dialSpy{token: token}
	spy.network.DialContext = spy.dial
	matchers := make([]*secretsauth.HostMatcher, len(coverage))
	transports := make([]*secretsauth.Transport, len(coverage))
	for i, c := range coverage {
		matchers[i] = compile(f, c.pattern)
		var err error
		transports[i], err = secretsauth.NewTransport(secretsauth.Static(secretsauth.NewToken(token)),
			secretsauth.Config{AllowedHosts: []string{c.pattern}, Base: spy})
		if err != nil {
			f.Fatal(err)
		}
	}

	f.Fuzz(func(t *testing.T, raw string) {
		scheme, host, _ := strings.Cut(raw, "://")
		urls := []*url.URL{{Scheme: scheme, Host: host, Path: "/"}}
		if u, err := url.Parse(raw); err == nil {
			urls = append(urls, u)
		}
		for _, u := range urls {
			req := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}}
			addr := spy.dialled(req)
			for i, c := range coverage {
				spy.credential = false
				_, _ = transports[i].RoundTrip(req)
				d := matchers[i].Explain(u)
				if spy.credential != d.Allowed {
					t.Fatalf("%+q against %q: the credential is sent: %v, the matcher says %v", u, c.pattern, spy.credential, d.Allowed)
				}
				if d.Allowed && !strings.EqualFold(u.Scheme, "http") && !strings.EqualFold(u.Scheme, "https") {
					t.Fatalf("%+q: allowed with the scheme %q", u, u.Scheme)
				}
				if !isASCII(u.Host) && (d.Allowed || d.Host != "") {
					t.Fatalf("%+q: a host that is not ASCII counts as %q", u, d.Host)
				}
				if addr == "" { // net/http refuses before it dials
					continue
				}
				dialled, port := splitDialled(addr)
				if d.Host != "" && d.Host != dialled {
					t.Fatalf("%+q: compared as %q, dialled as %q", u, d.Host, dialled)
				}
				if d.Allowed && !c.covers(u.Scheme, dialled, port) {
					t.Fatalf("%+q: %q lets the credential go to %s://%s", u, c.pattern, u.Scheme, addr)
				}
			}
		}
	})
}

// coverage says of patterns, in another way than the matcher, what they cover.
var coverage = []struct {
	pattern string
	covers  func(scheme, host string, port int) bool
}{
	{"mlflow.company.com", func(_, host string, _ int) bool { return host == "mlflow.company.com" }},
	{"*.company.com", func(_, host string, _ int) bool {
		return strings.HasSuffix(host, ".company.com") && !isAddress(host)
	}},
	{"mlflow-*", func(_, host string, _ int) bool {
		return strings.HasPrefix(host, "mlflow-") && !strings.Contains(host, ".")
	}},
	{"mlflow-*.corp.com", func(_, host string, _ int) bool {
		return strings.HasPrefix(host, "mlflow-") && strings.HasSuffix(host, ".corp.com")
	}},
	{"api-?", func(_, host string, _ int) bool {
		return len(host) == len("api-?") && strings.HasPrefix(host, "api-") && host[4] != '.'
	}},
	{"ml[!0-9].corp.com", func(_, host string, _ int) bool {
		return len(host) == len("mlx.corp.com") && host[:2] == "ml" && host[3:] == ".corp.com" && !strings.Contains("0123456789.", host[2:3])
	}},
	{"https://secure.company.com:8443", func(scheme, host string, port int) bool {
		return scheme == "https" && host == "secure.company.com" && port == 8443
	}},
	{"mlflow.company.com:80", func(_, host string, port int) bool { return host == "mlflow.company.com" && port == 80 }},
	{"10.1.2.3", func(_, host string, _ int) bool { return host == "10.1.2.3" }},
	{"[::1]:5000", func(_, host string, port int) bool { return host == "::1" && port == 5000 }},
	{"*", func(_, host string, port int) bool {
		return isAddress(host) || plainName.MatchString(host) && len(host) <= 253
	}},
}

var plainName = regexp.MustCompile(`^([a-z0-9_-]{1,63}\.)*[a-z_-][a-z0-9_-]{0,62}$`)

// dialSpy is a base that notes whether it is handed the credential, and asks
// net/http which address it would dial.
type dialSpy struct {
	token      string
	credential bool
	network    http.Transport

	mu   sync.Mutex // the dial has a goroutine of its own
	addr string
}

var errNotDialled = errors.New("not dialled")

// RoundTrip sends nothing.
func (s *dialSpy) RoundTrip(req *http.Request) (*http.Response, error) {
	s.credential = req.Header.Get("Authorization") == "Bearer "+s.token
	return nil, errNotDialled
}

// dialled is the address that net/http dials for req, or "".
func (s *dialSpy) dialled(req *http.Request) string {
	s.mu.Lock()
	s.addr = ""
	s.mu.Unlock()
	_, _ = s.network.RoundTrip(req)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

func (s *dialSpy) dial(_ context.Context, _, addr string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr = addr
	return nil, errNotDialled
}

// splitDialled is the host, lower case and without one trailing dot, or an
// address in its plain spelling. A zone stays: it is not what was asked for.
func splitDialled(addr string) (host string, port int) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "dialled " + addr, 0
	}
	port, _ = strconv.Atoi(text)
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().String(), port
	}
	return strings.TrimSuffix(strings.ToLower(host), "."), port
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
}

// FuzzCompileHosts compiles any pattern and asks for any host. What matches must
// be what fnmatch, bounded by the rules of CompileHosts, would match; what is
// compiled must be able to match.
func FuzzCompileHosts(f *testing.F) {
	for _, c := range hostCases {
		for _, p := range c.patterns {
			for _, raw := range c.urls {
				if u, err := url.Parse(raw); err == nil {
					f.Add(p, u.Host)
				}
			}
		}
	}
	for _, p := range []string{
		"[", "[]", "[!]", "[c-a]", "[a-]", "[-a]", "[]a]", "[!]a]", "[a-c-e]", "[^a]", "[--9]", "a[", "a]", `\`, "a/b", "u@h", "h:0", "h:*", "h:99999", "ftp://h", "::", "[::1%eth0]",
		"**", "*.*", "*:80", "*.", "https://*", "[::1].company.com", "[127.0.0.1]", "10.0.0.*", "*.1", "*a*b*c*.d", "\u212a.corp.com", "a?b", "a.b?c.d*", "[!-~]", "x[.]y",
	} {
		f.Add(p, "mlflow.company.com")
		f.Add(p, "a.b")
	}
	f.Fuzz(func(t *testing.T, pattern, host string) {
		m, err := secretsauth.CompileHosts([]string{pattern})
		if err != nil {
			if m != nil || !errors.Is(err, secretsauth.ErrConfig) {
				t.Fatalf("%+q: %v", pattern, err)
			}
			return
		}
		if !isASCII(pattern) {
			t.Fatalf("%+q is accepted, and is not ASCII", pattern)
		}
		m.Warnings()
		want, literal := fnmatch(pattern)
		for _, scheme := range []string{"http", "https"} {
			d := m.Explain(&url.URL{Scheme: scheme, Host: host})
			if d.Host == "" {
				if d.Allowed {
					t.Fatalf("%+q against %+q: allowed without a host", pattern, host)
				}
				continue
			}
			if expect := want(scheme, d.Host, portOf(scheme, host)); d.Allowed != expect {
				t.Fatalf("%+q against %s://%+q: %v, and fnmatch says %v", pattern, scheme, host, d.Allowed, expect)
			}
		}
		if literal != nil && !m.Match(literal) {
			t.Fatalf("%+q is accepted, and does not match itself", pattern)
		}
	})
}

// fnmatch reads a pattern that CompileHosts has accepted by translating it to a
// regular expression. literal is the URL that a pattern without wildcards names.
func fnmatch(pattern string) (match func(scheme, host string, port int) bool, literal *url.URL) {
	rest := strings.ToLower(pattern)
	scheme, rest, ok := strings.Cut(rest, "://")
	if !ok {
		scheme, rest = "", scheme
	}
	port := 0
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') && !isAddress(rest) {
		port, _ = strconv.Atoi(rest[i+1:])
		rest = rest[:i]
	}
	fits := func(s string, p int) bool { return (scheme == "" || s == scheme) && (port == 0 || p == port) }

	if rest == "*" {
		return func(s, _ string, p int) bool { return fits(s, p) }, nil
	}
	bare := rest
	if strings.HasPrefix(rest, "[") && strings.HasSuffix(rest, "]") && strings.Contains(rest, ":") {
		bare = rest[1 : len(rest)-1]
	}
	if addr, err := netip.ParseAddr(bare); err == nil {
		want := addr.Unmap().String()
		return func(s, host string, p int) bool { return fits(s, p) && host == want }, nil
	}
	rest = strings.TrimSuffix(rest, ".")
	if !strings.ContainsAny(rest, "*?[") {
		u := &url.URL{Scheme: "http", Host: rest}
		if scheme != "" {
			u.Scheme = scheme
		}
		if port != 0 {
			u.Host += ":" + strconv.Itoa(port)
		}
		literal = u
	}

	var re strings.Builder
	dots, lastWild := 0, false
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; c {
		case '*':
			re.WriteString(".*")
			lastWild = true
		case '?':
			re.WriteString("[^.]")
			lastWild = true
		case '[':
			set, width := regexpSet(rest[i+1:])
			re.WriteString(set)
			i += width
			lastWild = true
		case '.':
			dots++
			lastWild = false
			re.WriteString(`\.`)
		default:
			re.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	compiled := regexp.MustCompile(`^(?s:` + re.String() + `)$`)
	return func(s, host string, p int) bool {
		return fits(s, p) && !isAddress(host) && compiled.MatchString(host) &&
			(!lastWild || strings.Count(host, ".") == dots)
	}, literal
}

// regexpSet spells out the characters of a host that a set has, so that nothing
// depends on how regexp reads sets. text begins after the [.
func regexpSet(text string) (set string, width int) {
	negated := strings.HasPrefix(text, "!")
	begin := 0
	if negated {
		begin = 1
	}
	end := begin + 1 + strings.IndexByte(text[begin+1:], ']')
	members := text[begin:end]
	has := [128]bool{}
	for i := 0; i < len(members); {
		lo, hi := members[i], members[i]
		if i+2 < len(members) && members[i+1] == '-' {
			hi = members[i+2]
			i += 2
		}
		i++
		for c := int(lo); c <= int(hi); c++ {
			has[c] = true
		}
	}
	var one []string
	for _, c := range "abcdefghijklmnopqrstuvwxyz0123456789-_" {
		if has[c] != negated {
			one = append(one, regexp.QuoteMeta(string(c)))
		}
	}
	if len(one) == 0 {
		return `[^\x00-\x{10FFFF}]`, end + 1
	}
	return "(?:" + strings.Join(one, "|") + ")", end + 1
}

// portOf is the port of a host that the matcher takes for a plain one.
func portOf(scheme, host string) int {
	if port, err := strconv.Atoi((&url.URL{Host: host}).Port()); err == nil {
		return port
	}
	return map[string]int{"http": 80, "https": 443}[scheme]
}
