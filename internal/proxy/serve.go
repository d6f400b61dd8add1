package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// maxHeader of a request's head is read.
const maxHeader = 64 << 10

// server is a listener and what answers there.
type server struct {
	*http.Server
	listener net.Listener
	cancel   context.CancelFunc // of the requests under way
}

// newServer has limits for heads and idle connections. A body may take as long as it
// takes: an artifact has gigabytes.
func (p *Proxy) newServer(l net.Listener, h http.Handler) *server {
	ctx, cancel := context.WithCancel(context.Background())
	return &server{
		Server: &http.Server{
			Handler:           h,
			ReadHeaderTimeout: p.cfg.HeaderTimeout,
			IdleTimeout:       p.cfg.IdleTimeout,
			MaxHeaderBytes:    maxHeader,
			BaseContext:       func(net.Listener) context.Context { return ctx },
			ErrorLog:          log.New(io.Discard, "", 0), // it quotes what clients send

			DisableGeneralOptionsHandler: true, // the guard is to see "OPTIONS *"
		},
		listener: l,
		cancel:   cancel,
	}
}

func (s *server) address() string { return s.listener.Addr().String() }

// run serves until the server is closed.
func (s *server) run() error {
	if err := s.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// close ends everything, requests under way too.
func (s *server) close() error {
	if s == nil {
		return nil
	}
	err := s.Close()
	s.cancel() // tunnels are no longer the server's, but heed this
	if closing := s.listener.Close(); err == nil && !errors.Is(closing, net.ErrClosed) {
		err = closing // one that was never served
	}
	return err
}

// Serve answers requests until ctx ends. Those under way then have ShutdownTimeout
// to finish; the error says if some had to be broken off.
func (p *Proxy) Serve(ctx context.Context) error {
	defer p.cfg.Base.CloseIdleConnections()
	ended := make(chan error, 3)
	for _, s := range []*server{p.main, p.admin, p.control} {
		if s != nil {
			go func() { ended <- s.run() }()
		}
	}
	warming, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { _ = p.Warm(warming) }() // the cache logs how it went

	var failed error
	select {
	case <-ctx.Done():
	case failed = <-ended:
	}
	p.ending.Store(true)
	last, release := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.ShutdownTimeout)
	defer release()
	err := p.main.Shutdown(last)
	if closing := p.Close(); err == nil {
		err = closing
	}
	switch {
	case failed != nil:
		return fmt.Errorf("serve: %w", failed)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("requests that were under way for %v after the end were broken off", p.cfg.ShutdownTimeout.Round(time.Second))
	}
	return err
}

// Close ends the proxy at once, and requests under way with it.
func (p *Proxy) Close() error {
	p.ending.Store(true)
	return errors.Join(p.main.close(), p.admin.close(), p.control.close())
}
