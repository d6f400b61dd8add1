// Command demo shows in a few seconds what the library does: a client that is
// refused, the same client with its transport wrapped, a rotation of the password
// in the middle of a run, and a host that must receive nothing.
//
// The servers are stand-ins inside this program (package internal/devstack),
// on loopback. It exits with 1 if anything did not happen as it says.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run is the demo with passwords that nobody knows.
func run(ctx context.Context, out io.Writer) error {
	return show(ctx, out, rand.Text(), rand.Text())
}

// show is the demo with a password and the one it is rotated to.
func show(ctx context.Context, out io.Writer, password, next string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	d, err := start(password, next)
	if err != nil {
		return err
	}
	defer d.close()

	r := &report{out: out}
	r.text(banner)
	for _, s := range []struct {
		title string
		step  func(context.Context, *report) error
	}{
		{"A plain client", d.plain},
		{"The same client, with its transport wrapped", d.wrapped},
		{"The password is rotated while " + workersText + " workers log metrics", d.rotation},
		{"A host that is not on the allow-list, which is " + allowed, d.outside},
		{"The counters", d.counters},
	} {
		r.section(s.title)
		if err := s.step(ctx, r); err != nil {
			r.check(false, "%v", err)
			break // the next one would build on it
		}
	}
	if r.failed > 0 {
		return errors.New("not everything happened as it should, see ✗")
	}
	r.text("\nThat is all. The program to start from: examples/quickstart/main.go")
	return nil
}

const banner = `mlflow-secrets-auth, a demonstration

None of this is the real thing: a stand-in for Vault, a stand-in for an MLflow
tracking server and a third host run inside this program, on loopback.
The real servers are what "make e2e" is for.`
