package secretsauth

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Every error of this module wraps one of these, but for that of a request which its
// caller has cancelled. They say what to do: fix the configuration or the store
// (ErrConfig, ErrNotFound, ErrDenied, ErrInvalidSecret), or wait (ErrUnavailable). An
// error of several stores may wrap several; then ErrUnavailable counts.
var (
	// ErrNotFound: there is no secret of that name, or not that version.
	ErrNotFound = errors.New("secret not found")
	// ErrDenied: the store does not let this identity log in, or read the secret.
	ErrDenied = errors.New("access to the secret denied")
	// ErrUnavailable: the store gave no answer, or one that may pass: an outage,
	// throttling, a timeout. A cached value goes on being used.
	ErrUnavailable = errors.New("secret store unavailable")
	// ErrInvalidSecret: what the store holds is no credential, or has expired, or
	// cannot be sent in the mode asked for.
	ErrInvalidSecret = errors.New("secret cannot be used as a credential")
	// ErrConfig: a setting is missing or wrong.
	ErrConfig = errors.New("configuration error")
)

// Error says which provider failed to give which secret, why, and what to do.
// No field ever holds a secret or a part of one. It wraps Kind and Cause. One read's
// error goes to every request that waited for it: treat it as read-only.
type Error struct {
	Provider string // slug of the provider, empty if none was involved
	Key      string // what names the secret, as the provider's Key() tells it
	Kind     error  // the sentinel: ErrNotFound, ErrDenied, …
	Summary  string // what happened, in one line; default: the text of Kind
	Fix      string // what to do about it: a command, a variable to set
	Cause    error  // the underlying error, may be nil

	// Wait is how long the store asked callers to stay away (Retry-After), or
	// zero. A cache waits for a minute of it at most.
	Wait time.Duration
}

// Error is one line: the secret's key, the summary, the cause, and the fix.
func (e *Error) Error() string {
	if e == nil {
		return "unknown error"
	}
	var b strings.Builder
	switch {
	case e.Key != "":
		b.WriteString(e.Key + ": ")
	case e.Provider != "":
		b.WriteString(e.Provider + ": ")
	default:
		b.WriteString("secretsauth: ")
	}
	b.WriteString(e.summary())
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	if e.Fix != "" {
		b.WriteString("; fix: " + e.Fix)
	}
	return b.String()
}

func (e *Error) summary() string {
	switch {
	case e.Summary != "":
		return e.Summary
	case e.Kind != nil:
		return e.Kind.Error()
	}
	return "unknown error"
}

// Unwrap returns Kind and Cause. A context error inside Cause is the store's
// read timing out, not the caller's own context, so it stays out of sight of
// errors.Is.
func (e *Error) Unwrap() []error {
	if e == nil {
		return nil
	}
	var wrapped []error
	if e.Kind != nil {
		wrapped = append(wrapped, e.Kind)
	}
	if e.Cause != nil && !errors.Is(e.Cause, context.Canceled) && !errors.Is(e.Cause, context.DeadlineExceeded) {
		wrapped = append(wrapped, e.Cause)
	}
	return wrapped
}

// RetryAfter is how long the store asked callers to stay away, or zero.
func (e *Error) RetryAfter() time.Duration {
	if e == nil {
		return 0
	}
	return e.Wait
}

// asError brings whatever a provider returned into the form of an [*Error] with
// a sentinel. ErrUnavailable comes first: an error that joins several stores'
// errors is worth waiting for if any of them is.
func asError(err error, provider, key string) *Error {
	kind := ErrUnavailable
	for _, sentinel := range []error{ErrUnavailable, ErrDenied, ErrNotFound, ErrInvalidSecret, ErrConfig} {
		if errors.Is(err, sentinel) {
			kind = sentinel
			break
		}
	}
	e := Error{Cause: err}
	if own, ok := errors.AsType[*Error](err); ok && own != nil && errors.Is(own.Kind, kind) {
		e = *own
	}
	e.Kind, e.Cause = kind, contain(e.Cause)
	if e.Provider == "" {
		e.Provider = provider
	}
	if e.Key == "" {
		e.Key = key
	}
	if w, ok := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](err); ok {
		e.Wait = w.RetryAfter()
	}
	return &e
}

// contained is a cause that comes from outside this module, made safe to keep: one
// read's error goes to every request that waited for it, and its methods could panic
// in any of them (F14). Its text is taken once.
type contained struct {
	text  string
	cause error
}

// contain wraps cause. A panic of cause.Error is the caller's to handle.
func contain(cause error) error {
	if _, done := cause.(*contained); done || cause == nil { //nolint:errorlint // the very type, not one within
		return cause
	}
	return &contained{cause.Error(), cause}
}

func (c *contained) Error() string { return c.text }

// Is reports whether the cause is target.
func (c *contained) Is(target error) (is bool) {
	defer func() { _ = recover() }()
	return errors.Is(c.cause, target)
}

// As finds the first error of target's type in the cause.
func (c *contained) As(target any) (found bool) {
	defer func() { _ = recover() }()
	return errors.As(c.cause, target)
}

// waitError is the error of a request whose own context ended while it waited for a
// store. Without it the tracking server would be blamed: http.Client says
// "Client.Timeout exceeded while awaiting headers" (F17).
type waitError struct {
	store *Error // of kind ErrUnavailable
	ended error  // ctx.Err(); never context.Cause(ctx), which may say anything (S160)
}

func newWaitError(ctx context.Context, provider, key string) error {
	e := &waitError{ended: ctx.Err()}
	e.store = &Error{Provider: provider, Key: key, Kind: ErrUnavailable,
		Summary: "the request ended while it waited for the secret store, and was not sent"}
	if e.Timeout() {
		e.store.Fix = "run mlflow-secrets-auth doctor to see why the store is slow, or give the request more time than Config.FetchTimeout"
	}
	return e
}

func (e *waitError) Error() string {
	store := *e.store
	store.Cause = e.ended
	return store.Error()
}

// Unwrap returns the context's own error. For a deadline it adds the store's: a
// caller that cancels has not learnt that the store is unavailable.
func (e *waitError) Unwrap() []error {
	wrapped := []error{e.ended}
	if e.Timeout() {
		wrapped = append(wrapped, e.store)
	}
	return wrapped
}

// Timeout reports whether a deadline has ended the request, as [net.Error] has it.
func (e *waitError) Timeout() bool { return errors.Is(e.ended, context.DeadlineExceeded) }
