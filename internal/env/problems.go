package env

import "strings"

// Problems is one error for all of errs that are not nil, on one line; nil if
// there is none. [errors.Is] and [errors.As] look into it.
func Problems(errs ...error) error {
	var all problems
	for _, err := range errs {
		if several, ok := err.(problems); ok { //nolint:errorlint // the list itself
			all = append(all, several...)
		} else if err != nil {
			all = append(all, err)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}

// Each is the errors that [Problems] was given.
func Each(err error) []error {
	if several, ok := err.(problems); ok { //nolint:errorlint // the list itself
		return several
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

type problems []error

func (p problems) Error() string {
	texts := make([]string, len(p))
	for i, err := range p {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; and ")
}

func (p problems) Unwrap() []error { return p }
