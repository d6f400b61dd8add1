package secretsauth_test

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// TestPatternTable is the table of the rules for host patterns, row by row.
func TestPatternTable(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		pattern string
		matches []string
		not     []string
	}{
		{
			"mlflow.company.com",
			[]string{"http://mlflow.company.com", "https://mlflow.company.com:5000", "http://mlflow.company.com:1", "http://MLFLOW.Company.COM", "http://mlflow.company.com."},
			[]string{"http://x.mlflow.company.com", "http://mlflow.company.com.evil.com"},
		},
		{
			"*.company.com",
			[]string{"http://a.company.com", "http://a.b.company.com"},
			[]string{"http://company.com", "http://evilcompany.com", "http://company.com.evil.com"},
		},
		{
			"mlflow-*.corp.com",
			[]string{"http://mlflow-a.corp.com", "http://mlflow-a.b.corp.com"},
			[]string{"http://mlflow-a.corp.com.evil.com"},
		},
		{
			"mlflow-*",
			[]string{"http://mlflow-x"},
			[]string{"http://mlflow-x.evil.com", "http://mlflow-x\u3002evil"},
		},
		{
			"api-?",
			[]string{"http://api-1"},
			[]string{"http://api-12", "http://api-1.evil.com"},
		},
		{
			"ml[!0-9].corp.com",
			[]string{"http://mla.corp.com"},
			[]string{"http://ml1.corp.com", "http://ml..corp.com"},
		},
		{
			"api.*.com",
			[]string{"http://api.company.com", "http://api.attacker.com", "http://api.a.attacker.com"},
			[]string{"http://api.com"},
		},
		{
			"mlflow.company.com:5000",
			[]string{"http://mlflow.company.com:5000", "https://mlflow.company.com:5000"},
			[]string{"http://mlflow.company.com", "https://mlflow.company.com", "http://mlflow.company.com:5001", "http://mlflow.company.com:50"},
		},
		{
			"https://mlflow.company.com",
			[]string{"https://mlflow.company.com", "https://mlflow.company.com:5000"},
			[]string{"http://mlflow.company.com", "http://mlflow.company.com:443"},
		},
	} {
		t.Run(row.pattern, func(t *testing.T) {
			t.Parallel()
			m := compile(t, row.pattern)
			for _, u := range row.matches {
				if !m.Match(parse(t, u)) {
					t.Errorf("%q must match %q", row.pattern, u)
				}
			}
			for _, u := range row.not {
				if m.Match(parse(t, u)) {
					t.Errorf("%q must not match %q", row.pattern, u)
				}
			}
			if warned := len(m.Warnings()) > 0; warned != (row.pattern == "api.*.com") {
				t.Errorf("warned: %v", warned)
			}
		})
	}
}

// hostCase says of URLs whether the patterns let the credential go there. The
// cases are run through the matcher here, through a real client in
// TestHostsOverTheWire, and seed the fuzz targets.
type hostCase struct {
	name     string
	patterns []string
	urls     []string
	want     bool
}

var (
	company = []string{"mlflow.company.com", "*.company.com", "mlflow-*", "api-?"}
	// everywhere is as loose as a list can be.
	everywhere = append(slices.Clone(company), "*.evil.test", "10.1.2.3", "127.0.0.1", "[::1]", "*")
)

var hostCases = []hostCase{
	{"S20: userinfo, fragment and query are not the host", company, []string{
		"http://mlflow.company.com@evil.test/", "http://mlflow.company.com:80@evil.test/", "http://mlflow.company.com%2f@evil.test/",
		"http://evil.test#@mlflow.company.com/", "http://evil.test?@mlflow.company.com/", "http://evil.test/@mlflow.company.com",
		"http://mlflow.company.com:x@evil.test/", "http://evil.test/?x=mlflow.company.com",
	}, false},
	{"S20: userinfo in front of an allowed host does not hide it", company, []string{
		"http://evil.test@mlflow.company.com/", "http://user:pass@mlflow.company.com/", "http://evil.test:80@mlflow.company.com/",
	}, true},
	{"S22: look-alikes", company, []string{
		"http://evilcompany.com/", "http://company.com.evil.com/", "http://company.com/", "http://mlflow.company.com.evil.com/",
		"http://mlflow.company.comevil.com/", "http://mlflow.company.co/", "http://company.com.company.com.evil.com/",
		"http://mlflow-company.com/", "http://mlflowxcompany.com/", "http://xmlflow.companyxcom/", "http://-company.com/",
	}, false},
	{"S23: empty labels, a literal star, no host", everywhere, []string{
		"http://.company.com/", "http://*.company.com/", "http://a..company.com/", "http://a..b/", "http:///", "http://:80/",
		"http://./", "http://../", "http://*/", "http://*./",
	}, false},
	{"S24: dots that are not ASCII", everywhere, []string{
		"http://mlflow-x\u3002evil\u3002test/", "http://mlflow-x\uff0eevil\uff0etest/", "http://mlflow-x\uff61evil\uff61test/",
		"http://mlflow-x%E3%80%82evil%E3%80%82test/", "http://mlflow\u3002company\u3002com/", "http://mlflow.company.com\u3002/",
		"http://evil.test\u3002company.com/", "http://mlflow-x%EF%BC%8Eevil/", "http://mlflow-x%EF%BD%A1evil/",
	}, false},
	{"S25: characters that net/http maps away", everywhere, []string{
		"http://mlflow\u00ad.company.com/", "http://\uff4d\uff4c\uff46\uff4c\uff4f\uff57.company.com/", "http://\uff11\uff12\uff17.0.0.1/",
		"http://\u2121.company.com/", "http://\u24dclflow.company.com/", "http://mlflow\u200b.company.com/", "http://mlflow\u2060.company.com/",
		"http://mlflow\u2024company.com/", "http://mlflow\ufe52company.com/", "http://mlflow-\u00ad/", "http://\u212aube.company.com/", "http://m\u017fflow.company.com/",
	}, false},
	{"S26: a homoglyph", everywhere, []string{"http://mlfl\u043ew.company.com/", "http://mlflow.c\u043empany.com/"}, false},
	{"S26: a capital I with a dot, which Unicode lower-cases to i and net/http does not", []string{"mlflow.microsoft.test", "mini", "localhost.mi"}, []string{
		"http://mlflow.m\u0130crosoft.test/", "https://mlflow.m\u0130crosoft.test:8443/", "http://M\u0130N\u0130/", "http://localhost.m\u0130/",
	}, false},
	{"S26: a homoglyph whose punycode is listed", []string{"xn--mlflw-mye.company.com"}, []string{"http://mlfl\u043ew.company.com/"}, false},
	{"S26: a punycode name that is listed", []string{"xn--mlflw-mye.company.com"}, []string{"http://xn--mlflw-mye.company.com/", "http://XN--MLFLW-MYE.company.com/"}, true},
	{"S26: a punycode name that is not listed", []string{"mlflow.company.com", "mlfl?w.company.com"}, []string{"http://xn--mlflw-mye.company.com/"}, false},
	{"S27: an IPv6 zone", everywhere, []string{
		"http://[::1%25.company.com]/", "http://[::1%25.company.com]:80/", "http://[fe80::1%25lo]/", "http://[::1%25mlflow.company.com]/", "http://[::ffff:127.0.0.1%25.company.com]/",
	}, false},
	{"S28: IPv4 as only some resolvers read it", append([]string{"?*", "*.*"}, everywhere...), []string{
		"http://0177.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://127.000.000.001/", "http://0/", "http://0x7f000001/",
		"http://127.0.0.1./", "http://127.0.0.1.1/", "http://256.1.1.1/", "http://1.2.3.4x/",
	}, false},
	{"S29: an address in another spelling of the one listed", []string{"127.0.0.1", "[::1]", "0.0.0.0", "::"}, []string{
		"http://[::ffff:127.0.0.1]/", "http://[::FFFF:7f00:1]/", "http://[0:0:0:0:0:0:0:1]/", "http://0.0.0.0/", "http://[::]/", "http://[::ffff:0.0.0.0]:81/",
	}, true},
	{"S29: addresses that reach this machine without being listed", []string{"127.0.0.1", "[::1]", "localhost"}, []string{
		"http://0.0.0.0/", "http://[::]/", "http://127.0.0.2/", "http://[::ffff:0.0.0.0]/", "http://[::127.0.0.1]/",
	}, false},
	{"S29: addresses under a star alone", []string{"*"}, []string{
		"http://[::ffff:127.0.0.1]/", "http://0.0.0.0/", "http://[::]/", "http://10.1.2.3:5000/", "https://[2001:db8::1]/",
	}, true},
	{"S30: upper case and one trailing dot", []string{"mlflow.company.com"}, []string{
		"http://MLFLOW.company.COM/", "http://mlflow.company.com./", "http://MLFLOW.COMPANY.COM.:5000/", "https://mlflow.company.com.:8443/",
	}, true},
	{"S30: the same under a wildcard", []string{"*.company.com", "mlflow-*"}, []string{"http://A.B.Company.Com./", "http://MLFLOW-X./"}, true},
	{"S31: two trailing dots", everywhere, []string{"http://mlflow.company.com../", "http://mlflow-x../", "http://mlflow.company.com..:80/"}, false},
	{"S32: an empty port is the default", []string{"mlflow.company.com:80", "https://mlflow.company.com:443"}, []string{
		"http://mlflow.company.com:/", "https://mlflow.company.com:/", "http://mlflow.company.com.:/",
	}, true},
	{"S32: ports that are none", everywhere, []string{
		"http://mlflow.company.com:0/", "http://mlflow.company.com:99999/", "http://mlflow.company.com:080/", "http://mlflow.company.com:65536/",
		"http://mlflow.company.com:00/", "http://mlflow.company.com:4294967376/", "http://mlflow.company.com:18446744073709551696/", "http://[::1]:080/",
	}, false},
	{"S33: default ports are filled in", []string{"mlflow.company.com:443", "other.company.com:80"}, []string{
		"https://mlflow.company.com/", "https://mlflow.company.com:443/", "http://other.company.com/", "http://other.company.com:80/",
	}, true},
	{"S33: the other scheme's default port", []string{"mlflow.company.com:443", "other.company.com:80"}, []string{
		"http://mlflow.company.com/", "https://other.company.com/", "https://mlflow.company.com:80/", "http://mlflow.company.com:4433/",
	}, false},
	{"S34: too long, or with characters of no host", everywhere, []string{
		"http://" + strings.Repeat("a", 64) + ".company.com/",
		"http://" + strings.Repeat("a.", 122) + "company.com/", // 255
		"http://" + strings.Repeat("a.", 121) + "company.comx/",
		"http://a,b.company.com/", "http://a;b.company.com/", "http://a'b.company.com/", "http://a(b)!$&=+~_-.company.com/", "http://a=b.company.com/", "http://a!.company.com/", `http://a"b.company.com/`,
	}, false},
	{"S34: as long as a host may be", company, []string{
		"http://" + strings.Repeat("a", 63) + ".company.com/",
		"http://" + strings.Repeat("a.", 121) + "company.com/", // 253
		"http://" + strings.Repeat("a.", 121) + "company.com./",
		"http://a_b-c.company.com/", "http://1.company.com/",
	}, true},
	{"S35: no scheme", everywhere, []string{"mlflow.company.com/", "mlflow.company.com", "mlflow.company.com:5000/x", "//mlflow.company.com/", "/mlflow", ""}, false},
	{"S36: another scheme", everywhere, []string{
		"ftp://mlflow.company.com/", "ws://mlflow.company.com/", "wss://mlflow.company.com/", "file://mlflow.company.com/", "httpx://mlflow.company.com/",
		"http+unix://mlflow.company.com/", "mlflow-artifacts://mlflow.company.com/", "s3://mlflow.company.com/",
	}, false},
	{"S36: http in upper case is http", company, []string{"HTTP://mlflow.company.com/", "hTTps://mlflow.company.com/"}, true},
	{"S39: an opaque URL", everywhere, []string{"http:mlflow.company.com/", "https:mlflow.company.com:80/x"}, false},
	{"S40: the path plays no part", []string{"mlflow.company.com"}, []string{
		"https://mlflow.company.com/mlflow", "http://mlflow.company.com/a/b?c=http://evil.test#d", "http://mlflow.company.com//evil.test/", "http://mlflow.company.com/%2f%2fevil.test",
	}, true},
	{"S41: storage on another host", company, []string{
		"https://bucket.s3.amazonaws.com/artifact?X-Amz-Signature=0123", "https://company.blob.core.windows.net/c/a?sig=0123", "http://minio.test:9000/bucket/a",
	}, false},
	{"S41: storage that is listed", []string{"mlflow.company.com", "minio.test:9000"}, []string{"http://minio.test:9000/bucket/a"}, true},
	{"S41: storage under a star", []string{"*"}, []string{"https://bucket.s3.amazonaws.com/artifact?X-Amz-Signature=0123"}, true},
	{"S42: an SDK's own calls", company, []string{
		"http://169.254.169.254/metadata/identity/oauth2/token", "https://login.microsoftonline.com/common/oauth2/v2.0/token", "https://accounts.google.com/.well-known/openid-configuration",
	}, false},
	{"S45: http where the pattern says https", []string{"https://mlflow.company.com", "https://*.corp.com", "https://10.1.2.3"}, []string{
		"http://mlflow.company.com/", "http://mlflow.company.com:443/", "http://a.corp.com/", "http://10.1.2.3/",
	}, false},
	{"S45: https where the pattern says https", []string{"https://mlflow.company.com", "https://*.corp.com", "https://10.1.2.3"}, []string{
		"https://mlflow.company.com/", "https://mlflow.company.com:8443/", "https://a.corp.com/", "https://10.1.2.3/",
	}, true},
	{"S45: https where the pattern says http", []string{"http://mlflow.company.com"}, []string{"https://mlflow.company.com/", "https://mlflow.company.com:80/"}, false},
	{"S45: a star with a scheme", []string{"https://*"}, []string{"http://mlflow.company.com/", "http://127.0.0.1/"}, false},
	{"S47: a wildcard in the last label fixes the number of labels", []string{"mlflow-*", "api-?", "*-mlflow", "a.b*", "[ab]"}, []string{
		"http://mlflow-x.evil.com/", "http://api-1.evil.com/", "http://mlflow-.evil/", "http://x.evil-mlflow/", "http://a.b.evil/", "http://a.bc.evil/", "http://a.x.b/", "http://a.b1.b2/",
		"http://mlflow/", "http://api-12/", "http://api-/", "http://c/",
	}, false},
	{"S47: as many labels as the pattern", []string{"mlflow-*", "api-?", "*-mlflow", "a.b*", "[ab]"}, []string{
		"http://mlflow-/", "http://mlflow-x./", "http://api-1:5000/", "http://x-mlflow/", "http://a.b/", "http://a.bcd/", "http://b/",
	}, true},
	{"S48: a star is every host", []string{"*"}, []string{"http://evil.test/", "https://a.b.c.d.e/", "http://x/", "http://[2001:db8::1]:81/", "http://xn--mlflw-mye.company.com/"}, true},
	{"S50: [!a] negates", []string{"ml[!0-9a].corp.com"}, []string{"http://mlb.corp.com/", "http://ml-.corp.com/", "http://mlz.corp.com/"}, true},
	{"S50: [!a] negates, and excludes its members", []string{"ml[!0-9a].corp.com"}, []string{"http://mla.corp.com/", "http://ml0.corp.com/", "http://ml5.corp.com/", "http://ml.corp.com/", "http://mlbb.corp.com/"}, false},
	{"S50: [^a] does not negate", []string{"ml[^a].corp.com"}, []string{"http://mla.corp.com/"}, true},
	{"S50: [^a] does not negate: another character", []string{"ml[^a].corp.com"}, []string{"http://mlb.corp.com/", "http://ml1.corp.com/"}, false},
	{"S51: ? and sets do not match a dot", []string{"a?b.corp.com", "a[!x]c.corp.com", "a[--9]d.corp.com", "a[!]-]f.corp.com"}, []string{
		"http://a.b.corp.com/", "http://a.c.corp.com/", "http://a.d.corp.com/", "http://a.f.corp.com/", "http://ab.corp.com/",
	}, false},
	{"S51: ? and sets match one other character", []string{"a?b.corp.com", "a[!x]c.corp.com", "a[--9]d.corp.com"}, []string{
		"http://axb.corp.com/", "http://a-b.corp.com/", "http://ayc.corp.com/", "http://a5d.corp.com/", "http://a-d.corp.com/",
	}, true},
	{"S52: ] first and - at the edge are members", []string{"a[]b]c.corp.com", "d[b-]e.corp.com", "f[-b]g.corp.com", "h[a-c-e]i.corp.com", "j[!]a]k.corp.com"}, []string{
		"http://abc.corp.com/", "http://dbe.corp.com/", "http://d-e.corp.com/", "http://f-g.corp.com/", "http://fbg.corp.com/",
		"http://hai.corp.com/", "http://hbi.corp.com/", "http://hci.corp.com/", "http://h-i.corp.com/", "http://hei.corp.com/", "http://jbk.corp.com/",
	}, true},
	{"S52: ] first and - at the edge are members, and nothing between", []string{"a[]b]c.corp.com", "d[b-]e.corp.com", "f[-b]g.corp.com", "h[a-c-e]i.corp.com", "j[!]a]k.corp.com"}, []string{
		"http://aac.corp.com/", "http://dce.corp.com/", "http://fag.corp.com/", "http://hdi.corp.com/", "http://jak.corp.com/",
	}, false},
	{"S55: no pattern is no host", nil, []string{"http://mlflow.company.com/", "http://127.0.0.1/", "https://localhost/"}, false},
	{"S58: an address in brackets is no set", []string{"[::1]", "[2001:db8::1]:5000"}, []string{"http://[::1]/", "https://[::1]:5000/", "http://[2001:db8::1]:5000/", "http://[2001:DB8:0::1]:5000/"}, true},
	{"S58: an address in brackets matches itself only", []string{"[::1]", "[2001:db8::1]:5000"}, []string{"http://1/", "http://[::2]/", "http://[2001:db8::1]/", "http://[2001:db8::1]:5001/", "http://127.0.0.1/"}, false},
	{"S59: wildcards and addresses", []string{"10.0.0.*", "10.*", "*.*.*.*", "127.0.0.?", "?*", "[!a]*", "*.*.*.1*", "*.1"}, []string{
		"https://10.0.0.1/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/",
	}, false},
	{"S60: upper case and one trailing dot in a pattern", []string{"MLFLOW.Company.COM.", "*.CORP.com.:5000", "HTTPS://Host.Example.", "ML[A-C].x.com"}, []string{
		"http://mlflow.company.com/", "http://a.corp.com:5000/", "https://HOST.example/", "http://mlb.x.com/",
	}, true},
	{"S61: very many stars", []string{strings.Repeat("*a", 120) + "b.company.com", "a" + strings.Repeat("*", 300) + ".corp.com"}, []string{
		"http://" + strings.Repeat("a", 63) + "." + strings.Repeat("a", 63) + "." + strings.Repeat("a", 63) + "." + strings.Repeat("a", 40) + ".company.com/",
		"http://" + strings.Repeat("a.", 121) + "company.com/",
	}, false},
}

func TestHostMatch(t *testing.T) {
	t.Parallel()
	for _, c := range hostCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := compile(t, c.patterns...)
			for _, raw := range c.urls {
				u := parse(t, raw)
				d := m.Explain(u)
				if m.Match(u) != c.want || d.Allowed != c.want {
					t.Errorf("%q against %q: match %v, want %v", raw, c.patterns, d.Allowed, c.want)
				}
				if d.Reason == "" || d.Allowed != (d.Pattern != "") || d.Allowed && d.Host == "" {
					t.Errorf("%q: the decision is not explained: %+v", raw, d)
				}
			}
		})
	}
}

// TestHostUnparsable: net/url refuses these, and so does the matcher when they
// are put into a URL by hand.
func TestHostUnparsable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		hosts []string
	}{
		{"S21: forbidden bytes in a host", []string{
			`evil.test\@mlflow.company.com`, "mlflow.company.com%40evil.test", "evil.test%23.company.com", "evil.test%2f.company.com", "evil.test%00.company.com",
			"evil.test%0a.company.com", "evil.test%20.company.com", "evil.test\t.company.com", "evil .company.com", "a{b.company.com", "a}b.company.com",
			"a^b.company.com", "a|b.company.com", "a`b.company.com", `a\b.company.com`,
		}},
		{"S21: bad brackets", []string{"[evil]", "[v1.x]", "[127.0.0.1]", "[::1].company.com", "::1", "[::1", "::1]", "[mlflow.company.com]"}},
		{"S32: ports that do not parse", []string{"mlflow.company.com:+80", "mlflow.company.com: 80", "mlflow.company.com:80:90", "mlflow.company.com:abc", "mlflow.company.com:-1", "mlflow.company.com:8 0"}},
		{"S37: line ends and control characters", []string{
			"mlflow.company.com\r", "mlflow.company.com\n", "mlflow.company.com\r\nHost: evil.test", "mlflow.company.com\x00", "\x1b[31mmlflow.company.com", "mlflow\x7f.company.com", "a\u0085.company.com",
		}},
		{"S38: percent escapes", []string{"mlflow%2ecompany.com", "%6dlflow.company.com", "mlflow.company.com%2f", "mlflow.company.com%", "%"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := compile(t, everywhere...)
			for _, host := range c.hosts {
				if u, err := url.Parse("http://" + host + "/"); err == nil && m.Match(u) {
					t.Errorf("%q matches as it is parsed", host)
				}
				d := m.Explain(&url.URL{Scheme: "http", Host: host, Path: "/"})
				if d.Allowed {
					t.Errorf("%q matches when it is put into a URL by hand, as %q", host, d.Host)
				}
				if strings.Contains(d.Reason, host) {
					t.Errorf("the reason repeats %q", host)
				}
			}
		})
	}
}

func TestHostOfAURLMadeByHand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		u    *url.URL
	}{
		{"S20: userinfo inside Host", &url.URL{Scheme: "http", Host: "mlflow.company.com@evil.test"}},
		{"S20: userinfo with a port inside Host", &url.URL{Scheme: "http", Host: "mlflow.company.com:80@evil.test"}},
		{"S23: no host", &url.URL{Scheme: "http", Path: "/mlflow.company.com"}},
		{"S27: a zone", &url.URL{Scheme: "http", Host: "[::1%.company.com]"}},
		{"S35: no scheme", &url.URL{Host: "mlflow.company.com"}},
		{"S36: a scheme in upper case, which net/http does not know", &url.URL{Scheme: "HTTP", Host: "mlflow.company.com"}},
		{"S39: a path inside Host", &url.URL{Scheme: "http", Host: "evil.test/mlflow.company.com"}},
		{"S39: a query inside Host", &url.URL{Scheme: "http", Host: "evil.test?.company.com"}},
		{"S39: a fragment inside Host", &url.URL{Scheme: "http", Host: "evil.test#.company.com"}},
		{"S39: Opaque, which a proxy is asked for", &url.URL{Scheme: "http", Host: "mlflow.company.com", Opaque: "//evil.test/"}},
		{"S39: a nil URL", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if d := compile(t, everywhere...).Explain(c.u); d.Allowed || d.Reason == "" {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestHostExplain(t *testing.T) {
	t.Parallel()
	m := compile(t, "*.Company.com", "a.company.com", "https://mlflow.test:5000", "[::ffff:10.1.2.3]", "xn--mlflw-mye.test")
	for raw, want := range map[string]secretsauth.HostDecision{
		"http://A.company.com.:81/x":  {Allowed: true, Pattern: "*.Company.com", Host: "a.company.com"}, // the first, as it was written
		"https://mlflow.test:5000":    {Allowed: true, Pattern: "https://mlflow.test:5000", Host: "mlflow.test"},
		"http://10.1.2.3/":            {Allowed: true, Pattern: "[::ffff:10.1.2.3]", Host: "10.1.2.3"},
		"http://[::ffff:a01:203]/":    {Allowed: true, Pattern: "[::ffff:10.1.2.3]", Host: "10.1.2.3"},
		"http://xn--mlflw-mye.TEST/":  {Allowed: true, Pattern: "xn--mlflw-mye.test", Host: "xn--mlflw-mye.test"},
		"http://mlflow.test:5000/":    {Host: "mlflow.test"},
		"http://COMPANY.com/":         {Host: "company.com"},
		"http://[2001:db8:0:0::1]/":   {Host: "2001:db8::1"},
		"http://mlfl\u043ew.test/":    {},
		"http://[::1%25.company.com]": {},
		"ftp://a.company.com/":        {},
	} {
		got := m.Explain(parse(t, raw))
		if got.Reason == "" {
			t.Errorf("%q: no reason", raw)
		}
		if got.Reason = ""; got != want {
			t.Errorf("%q: %+v, want %+v", raw, got, want)
		}
	}
}

func TestHostMatcherWithoutPatterns(t *testing.T) {
	t.Parallel()
	u := parse(t, "https://mlflow.company.com/")
	for name, m := range map[string]*secretsauth.HostMatcher{
		"S55: the zero value":     {},
		"S55: nil":                nil,
		"S55: compiled from none": compile(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if m.Match(u) || m.Match(nil) || m.Explain(u).Allowed || len(m.Warnings()) != 0 {
				t.Error("it matches something, or warns of it")
			}
		})
	}
}

func TestS154TheErrorOfAPatternShowsNoPassword(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"https://user:hunter2@a.test", "user:hunter2@a.test", "user:hunter2@x@a.test:5000", "://user:hunter2@"} {
		_, err := secretsauth.CompileHosts([]string{p})
		if !errors.Is(err, secretsauth.ErrConfig) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "user:") {
			t.Errorf("%v: want ErrConfig that shows the pattern without its password", err)
		}
	}
}

func TestPatternRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		patterns []string
		says     string // in the error, besides the pattern
	}{
		{"S53: a set that is not closed", []string{"[", "a[b.corp.com", "[]", "[!]", "[!", "a.corp.com[", "x[].corp.com"}, "closed"},
		{"S53: characters of no host", []string{`a\.corp.com`, `\`, "a b.corp.com", " ", "a%2e.corp.com", "a\tb.corp.com", "a\x00.corp.com", "a\x1b.corp.com", "a\x7f.corp.com", "a,b.corp.com", "a'b.corp.com", "a$.corp.com"}, ""},
		{"S53: line ends", []string{"a.corp.com\n", "a.corp.com\r\nb.corp.com", "\n*"}, ""},
		{"S53: not ASCII", []string{"mlfl\u043ew.company.com", "*\u3002company.com", "m\u00fcnchen.test", "\u212aube.corp.com", "https://a.\u212a\u212a.test", "m\u0130ni.test", "\u202e.corp.com", "[\u00e9].corp.com"}, "punycode"},
		{"S53: not UTF-8", []string{"a\xff.corp.com"}, ""},
		{"S53: empty labels", []string{".company.com", "a..b.com", "*..company.com", ".", "..", "a.corp.com.."}, ""},
		{"S53: signs of a set outside one", []string{"!a.corp.com", "^.corp.com", "a]b.corp.com", "!", "]"}, ""},
		{"S53: labels and names that are too long", []string{strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 130) + "com"}, ""},
		{"S53: a number in the place of the top-level domain", []string{"127.1", "0x7f.1", "1.2.3", "256.1.1.1", "a.1", "[::1%25eth0]", "[::1%eth0]"}, ""},
		{"S54: a range that runs backwards", []string{"[c-a]", "ml[z-a].corp.com", "[!9-0].corp.com", "[a-c9-0].corp.com"}, "backwards"},
		{"S55: empty", []string{""}, "empty"},
		{"S55: nothing but a scheme or a port", []string{"https://", "http://:80", ":80", "https://."}, ""},
		{"S56: a port that is none", []string{"a.test:0", "a.test:99999", "a.test:abc", "a.test:*", "a.test:080", "a.test:-1", "a.test:65536", "a.test:8?", "*:0", "[::1]:0", "[::1]:x"}, "port"},
		{"S57: another scheme", []string{"ftp://a.test", "s3://a.test", "://a.test", "htt?://a.test", "*://a.test", "mlflow-artifacts://a.test"}, "scheme"},
		{"S57: userinfo", []string{"user@a.test", "@a.test", "*@a.test"}, "mlflow.company.com"},
		{"S57: a path", []string{"a.test/", "a.test/mlflow", "https://a.test/mlflow", "https://a.test/*", "//a.test", "a.test#x"}, "mlflow.company.com"},
		{"S57: a query", []string{"a.test?x=1", "https://a.test/?x", "https://a.test?x=y&z"}, "mlflow.company.com"},
		{"S58: brackets around what is no IPv6 address", []string{"[127.0.0.1]", "[127.0.0.1]:80", "[::1].company.com", "[::1]x", "x[::1]"}, ""},
		{"S61: too long", []string{strings.Repeat("*", 10_000), strings.Repeat("[a-z]", 2000) + ".corp.com", strings.Repeat("a", 1<<20)}, "long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range c.patterns {
				m, err := secretsauth.CompileHosts([]string{"ok.corp.com", p})
				if err == nil || m != nil {
					t.Errorf("%q is accepted", clipped(p))
					continue
				}
				if !errors.Is(err, secretsauth.ErrConfig) {
					t.Errorf("%q: the error does not wrap ErrConfig", clipped(p))
				}
				text := err.Error()
				if quoted := strconv.Quote(p); len(p) < 300 && !strings.Contains(text, quoted) {
					t.Errorf("%s: the error does not show the pattern with %%q: %q", quoted, text)
				}
				if len(text) > 3000 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x1b }) {
					t.Errorf("%q: the error is not one short printable line", clipped(p))
				}
				if !strings.Contains(text, c.says) {
					t.Errorf("%q: the error does not say %q: %q", clipped(p), c.says, text)
				}
			}
		})
	}
}

// TestPatternWarnings: what is accepted all the same, and said.
func TestPatternWarnings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		patterns []string
		warned   bool
	}{
		{"S48: a star alone", []string{"*", "https://*", "*:5000"}, true},
		{"S49: a wildcard over one literal label", []string{"*.com", "api.*.com", "*company.com", "a?.com", "a.[bc].com", "*.*.com", "HTTPS://*.com:443", "*.com."}, true},
		{"S49: a wildcard in the place of the public suffix", []string{"mlflow.*", "*.*", "mlflow.company.*", "mlflow.co?", "mlflow.c[!x]m"}, true},
		{"S49: two literal labels at the end", []string{"*.company.com", "mlflow-*.corp.com", "a?.b.com", "*.a.b.c"}, false},
		{"S49: a public suffix of two labels is accepted; doctor warns", []string{"*.co.uk"}, false},
		{"S47: a wildcard in the last label", []string{"mlflow-*", "api-?"}, false},
		{"S49: no wildcard", []string{"mlflow.company.com", "mlflow.company.com:5000", "localhost", "127.0.0.1", "[::1]:5000"}, false},
		{"S59: a wildcard over an address matches no address", []string{"10.0.0.*", "192.168.1.?", "*.1"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range c.patterns {
				warnings := compile(t, "ok.corp.com", p).Warnings()
				switch {
				case !c.warned && len(warnings) != 0:
					t.Errorf("%q: warned of, by %q", p, warnings)
				case c.warned && (len(warnings) != 1 || !strings.Contains(warnings[0], strconv.Quote(p))):
					t.Errorf("%q: not warned of by name: %q", p, warnings)
				}
				book := &warnBook{}
				_, err := newTransport(secretsauth.Static(secretsauth.NewToken(canary.New())),
					secretsauth.Config{AllowedHosts: []string{"ok.corp.com", p}, Logger: book.logger()})
				if err != nil || !slices.Equal(book.all(), warnings) {
					t.Errorf("%q: NewTransport logs %q, want the warnings %q; %v", p, book.all(), warnings, err)
				}
			}
		})
	}
}

func TestHostListIsRequired(t *testing.T) {
	t.Parallel()
	for name, hosts := range map[string][]string{
		"S55: nil list":          nil,
		"S55: empty list":        {},
		"S55: empty pattern":     {""},
		"S55: pattern and empty": {"mlflow.company.com", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt, err := newTransport(secretsauth.Static(secretsauth.NewToken(canary.New())), secretsauth.Config{AllowedHosts: hosts})
			if !errors.Is(err, secretsauth.ErrConfig) || rt != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestHostListFromTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        []string // nil: a configuration error
	}{
		{"S55: set but empty", "", nil},
		{"S55: nothing but commas and spaces", " , ,", nil},
		{"S53: a pattern that no host matches", "a.test,b.test/mlflow", nil},
		{"S55: spaces and empty items are dropped", " a.test , ,*.corp.com,", []string{"a.test", "*.corp.com"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("MLFLOW_SECRETS_ALLOWED_HOSTS", c.value)
			cfg, err := secretsauth.ConfigFromEnv()
			if c.want == nil {
				if !errors.Is(err, secretsauth.ErrConfig) {
					t.Errorf("error %v, want ErrConfig", err)
				}
				return
			}
			if err != nil || !slices.Equal(cfg.AllowedHosts, c.want) {
				t.Errorf("%q, %v; want %q", cfg.AllowedHosts, err, c.want)
			}
		})
	}
}

func compile(tb testing.TB, patterns ...string) *secretsauth.HostMatcher {
	tb.Helper()
	m, err := secretsauth.CompileHosts(patterns)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func parse(tb testing.TB, raw string) *url.URL {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

func clipped(text string) string { return text[:min(len(text), 60)] }
