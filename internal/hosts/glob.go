package hosts

import "strings"

// glob is a host pattern in fnmatch's language, which is the guide's and not
// path.Match's ([!a] negates, [^a] does not; S50–S54). A star crosses dots, ?
// and sets never match one.
type glob []globToken

// globToken matches one character, or any number of them.
type globToken struct {
	literal byte   // matches itself
	star    bool   // matches any run, also an empty one
	any     bool   // ? or a set
	not     bool   // [!…]
	set     []span // none for ?
}

type span struct{ lo, hi byte }

// parseGlob reads a lower-case ASCII pattern, or says why no host can match it.
func parseGlob(text string) (g glob, why string) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '*':
			if len(g) == 0 || !g[len(g)-1].star {
				g = append(g, globToken{star: true})
			}
		case '?':
			g = append(g, globToken{any: true})
		case '[':
			end := setEnd(text, i)
			if end < 0 {
				return nil, "has a [ that is not closed"
			}
			t, why := parseSet(text[i+1 : end])
			if why != "" {
				return nil, why
			}
			g = append(g, t)
			i = end
		case ']', '!', '^', ':':
			return nil, "has " + string(c) + " in a place where no host has it"
		default:
			g = append(g, globToken{literal: c})
		}
	}
	if len(g) == 0 {
		return nil, "has no host"
	}
	return g, ""
}

// setEnd finds the ] of the set that opens at i; one right after [ or [! is a
// member.
func setEnd(text string, i int) int {
	first := i + 1
	if first < len(text) && text[first] == '!' {
		first++
	}
	if first+1 > len(text) {
		return -1
	}
	end := strings.IndexByte(text[first+1:], ']')
	if end < 0 {
		return -1
	}
	return first + 1 + end
}

func parseSet(members string) (t globToken, why string) {
	t.any = true
	if strings.Contains(members, ":") {
		return t, "has a : between brackets, which only an IPv6 address has"
	}
	members, t.not = strings.CutPrefix(members, "!")
	for i := 0; i < len(members); i++ {
		s := span{members[i], members[i]}
		if i+2 < len(members) && members[i+1] == '-' {
			s.hi = members[i+2]
			i += 2
		}
		if s.lo > s.hi {
			return t, "has a set with a range that runs backwards"
		}
		t.set = append(t.set, s)
	}
	return t, ""
}

func (t globToken) matches(c byte) bool {
	if !t.any {
		return t.literal == c
	}
	if c == '.' {
		return false
	}
	if t.set == nil {
		return true
	}
	for _, s := range t.set {
		if s.lo <= c && c <= s.hi {
			return !t.not
		}
	}
	return t.not
}

// match takes at most len(g)·len(host) steps: only the last star is ever
// reconsidered (S61).
func (g glob) match(host string) bool {
	i, j := 0, 0
	star, resume := -1, 0
	for j < len(host) {
		switch {
		case i < len(g) && g[i].star:
			star, resume = i, j
			i++
		case i < len(g) && g[i].matches(host[j]):
			i++
			j++
		case star >= 0:
			resume++
			i, j = star+1, resume
		default:
			return false
		}
	}
	for i < len(g) && g[i].star {
		i++
	}
	return i == len(g)
}

// labels splits g at its literal dots.
func (g glob) labels() []glob {
	var labels []glob
	start := 0
	for i, t := range g {
		if t.literal == '.' {
			labels = append(labels, g[start:i])
			start = i + 1
		}
	}
	return append(labels, g[start:])
}

// wild reports whether g is more than literal text.
func (g glob) wild() bool {
	for _, t := range g {
		if t.star || t.any {
			return true
		}
	}
	return false
}
