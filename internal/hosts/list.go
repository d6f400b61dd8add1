package hosts

import (
	"fmt"
	"net/url"
	"strings"
)

// List is an allow-list: patterns in the order in which they were written. A nil
// List allows nothing.
type List []pattern

// Decision says whether a host is on the list, and why. Its fields are those of
// secretsauth.HostDecision, which documents them.
type Decision struct {
	Allowed bool
	Pattern string
	Host    string
	Reason  string
}

// Compile reads patterns. The error names the first one that no host can match,
// and says why.
func Compile(patterns []string) (List, error) {
	list := make(List, 0, len(patterns))
	for _, text := range patterns {
		p, why := parsePattern(text)
		if why != "" {
			return nil, fmt.Errorf("host pattern %q: %s", quotable(text), why)
		}
		list = append(list, p)
	}
	return list, nil
}

// Explain decides about u's host, by its scheme, name and port.
func (l List) Explain(u *url.URL) Decision {
	o, why := originOf(u)
	if why != "" {
		return Decision{Reason: why}
	}
	return l.decide(o)
}

func (l List) decide(o origin) Decision {
	for i := range l {
		if p := &l[i]; p.covers(o) {
			return Decision{Allowed: true, Pattern: p.text, Host: o.host, Reason: fmt.Sprintf("covered by the pattern %q", p.text)}
		}
	}
	return Decision{Host: o.host, Reason: "no pattern of the allow-list covers it"}
}

// Warnings has a line for each pattern that covers more, or less, than its author
// may have had in mind.
func (l List) Warnings() []string {
	var warnings []string
	for i := range l {
		switch p := &l[i]; {
		case p.everyHost:
			warnings = append(warnings, fmt.Sprintf("host pattern %q sends the credential to every host that is asked for; "+
				"narrow it, for example MLFLOW_SECRETS_ALLOWED_HOSTS=mlflow.company.com", p.text))
		case p.addressLike:
			warnings = append(warnings, fmt.Sprintf("host pattern %q never matches an address; list each address", p.text))
		case p.loose:
			warnings = append(warnings, fmt.Sprintf("host pattern %q covers hosts of other owners; "+
				"write at least two literal labels at its end, as in *.company.com", p.text))
		}
	}
	return warnings
}

// quotable shortens a pattern for a message, and takes the password out.
func quotable(text string) string {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		scheme, user, ok := strings.Cut(text[:at], "://")
		if scheme += "://"; !ok {
			scheme, user = "", text[:at]
		}
		if name, _, secret := strings.Cut(user, ":"); secret {
			text = scheme + name + ":…" + text[at:]
		}
	}
	if len(text) > maxPattern {
		text = text[:maxPattern] + "…"
	}
	return text
}
