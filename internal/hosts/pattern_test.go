package hosts

import (
	"strings"
	"testing"
)

// The tests of the root package show which patterns are refused; this one holds
// every reason, word for word.
func TestPatternSaysWhyItIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                       "is empty",
		strings.Repeat("a", 513): "is longer than 512 characters",
		"m\u00fcnchen.test":      "is not ASCII; write an internationalised name in its punycode form, xn--…",
		"ftp://a.test":           "has a scheme other than http and https",
		"a.test/":                "has a path; only scheme, host and port are compared",
		"u@a.test":               "has a username; only scheme, host and port are compared",
		"a b.test":               "has the character ' ', which no host has",
		"a.test:0":               "has a port that is not a number from 1 to 65535; leave the port out for any",
		"[127.0.0.1]":            "has an IPv4 address in brackets; write it without",
		"a[b.test":               "has a [ that is not closed",
		"[!":                     "has a [ that is not closed",
		"[::1].test":             "has a : between brackets, which only an IPv6 address has",
		"[c-a].test":             "has a set with a range that runs backwards",
		"a]b.test":               "has ] in a place where no host has it",
		"a:b:80":                 "has : in a place where no host has it",
		":80":                    "has no host",
		"a..test":                "has an empty label",
		"127.1":                  "ends in a number but is not a valid address",
		strings.Repeat("a", 64):  "is not a valid host name",
	} {
		if _, why := parsePattern(text); why != want {
			t.Errorf("%.20q: %q, want %q", text, why, want)
		}
	}
}

func TestPatternWarnings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"*":                        "every host",
		"https://*:443":            "every host",
		"10.0.0.*":                 "never matches an address",
		"10.?.[0-9].*":             "never matches an address",
		"10.*.0.*":                 "other owners", // a star also takes letters and dots
		"*.1":                      "never matches an address",
		"*.com":                    "other owners",
		"*company.com":             "other owners",
		"[a].com":                  "other owners", // a set counts as a wildcard, also one of a single character
		"mlflow.*":                 "other owners",
		"mlflow.company.[c]om":     "other owners",
		"*.company.com":            "",
		"mlflow-*":                 "",
		"mlflow-[0-9].company.com": "",
	} {
		list, err := Compile([]string{text})
		if err != nil {
			t.Fatal(err)
		}
		warnings := list.Warnings()
		if want == "" && len(warnings) != 0 || want != "" && (len(warnings) != 1 || !strings.Contains(warnings[0], want)) {
			t.Errorf("%q: %q, want one with %q", text, warnings, want)
		}
	}
}
