package hosts

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// glob is a host pattern in the language of fnmatch. That differs from
// path.Match's: [!a] negates and [^a] does not (S50–S54). A star crosses dots; ?
// and sets never match one.
type glob []element

// element matches one character of a canonical host; a star matches any number of
// them.
type element struct {
	star  bool
	wild  bool   // it is a star, a ? or a set, and not a character that stands for itself
	chars string // the characters that it matches, unless it is a star
}

// labelChars are the characters that a label of a canonical host may contain.
const labelChars = "abcdefghijklmnopqrstuvwxyz0123456789-_"

// parseGlob reads a lower-case ASCII pattern, or says why no host can match it.
func parseGlob(text string) (g glob, why string) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '*':
			g = append(g, element{wild: true, star: true})
		case '?':
			g = append(g, element{wild: true, chars: labelChars})
		case '[':
			members, closed := cutSet(text[i+1:])
			if !closed {
				return nil, "has a [ that is not closed"
			}
			chars, why := parseSet(members)
			if why != "" {
				return nil, why
			}
			g = append(g, element{wild: true, chars: chars})
			i += len(members) + 1
		case ']', '!', '^', ':':
			return nil, "has " + string(c) + " in a place where no host has it"
		default:
			g = append(g, element{chars: text[i : i+1]})
		}
	}
	if len(g) == 0 {
		return nil, "has no host"
	}
	return g, ""
}

// cutSet returns what stands between a [, which is before text, and its ]. A ]
// right after [ or [! is a member of the set and does not close it.
func cutSet(text string) (members string, closed bool) {
	first := 1
	if strings.HasPrefix(text, "!") {
		first = 2
	}
	size := strings.IndexByte(text[min(first, len(text)):], ']')
	if size < 0 {
		return "", false
	}
	return text[:first+size], true
}

// parseSet returns the characters of a label that a set matches. There may be
// none.
func parseSet(members string) (chars, why string) {
	if strings.Contains(members, ":") {
		return "", "has a : between brackets, which only an IPv6 address has"
	}
	members, negated := strings.CutPrefix(members, "!")
	var listed [utf8.RuneSelf]bool
	for i := 0; i < len(members); i++ {
		lo, hi := members[i], members[i]
		if i+2 < len(members) && members[i+1] == '-' {
			hi = members[i+2]
			i += 2
		}
		if lo > hi {
			return "", "has a set with a range that runs backwards"
		}
		for c := lo; c <= hi; c++ {
			listed[c] = true
		}
	}
	return strings.Map(func(c rune) rune {
		if listed[c] == negated {
			return -1
		}
		return c
	}, labelChars), ""
}

// match reports whether g matches the whole of host. It takes at most
// len(g)·len(host) steps, because it returns to the latest star only (S61).
func (g glob) match(host string) bool {
	i, j := 0, 0
	star, resume := -1, 0
	for j < len(host) {
		switch {
		case i < len(g) && g[i].star:
			star, resume = i, j
			i++
		case i < len(g) && strings.IndexByte(g[i].chars, host[j]) >= 0:
			i++
			j++
		case star >= 0: // the star takes one character more
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

// labels splits g at its dots.
func (g glob) labels() []glob {
	var labels []glob
	start := 0
	for i, e := range g {
		if e.chars == "." {
			labels = append(labels, g[start:i])
			start = i + 1
		}
	}
	return append(labels, g[start:])
}

// wild reports whether g has a star, a ? or a set.
func (g glob) wild() bool {
	return slices.ContainsFunc(g, func(e element) bool { return e.wild })
}
