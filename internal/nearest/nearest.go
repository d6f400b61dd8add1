// Package nearest guesses what a misspelt name was meant to be.
package nearest

import "strings"

// Of is the choice that was probably meant by name, or "": one that contains
// name (aws), one that is a slip or two away (vualt), or one that name contains
// (hashicorp-vault). Hyphens, digits and the like do not count, nor does case.
func Of(name string, choices []string) string {
	name = lettersOnly(name)
	if len(name) < 3 {
		return ""
	}
	for _, choice := range choices {
		if strings.Contains(lettersOnly(choice), name) {
			return choice
		}
	}
	best, least := "", len(name)/2+1
	for _, choice := range choices {
		if d := edits(name, lettersOnly(choice)); d < least {
			best, least = choice, d
		}
	}
	if best != "" {
		return best
	}
	for _, choice := range choices {
		if short := lettersOnly(choice); len(short) >= 3 && strings.Contains(name, short) {
			return choice
		}
	}
	return ""
}

func lettersOnly(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		if r < 'a' || r > 'z' {
			return -1
		}
		return r
	}, text)
}

// edits counts the letters to insert, delete or replace to turn a into b
// (Levenshtein).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
