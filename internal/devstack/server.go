// Package devstack holds small stand-ins for the servers that the library talks
// to, so that the demo and the tests need nothing but Go and the loopback
// interface. [Vault] speaks the little of Vault's HTTP API that reading one KV
// version 2 secret takes, [KeyVault] the little of Azure's that reading a secret by
// a managed identity takes, [SecretsManager] GetSecretValue of AWS, [MLflow] the
// little of an MLflow tracking server with basic-auth that logging a run takes, and
// [Outsider] is a host that should receive no credential.
//
// They are not the real thing. Their answers were copied from OpenBao 2.7.2 and
// MLflow 3.17.2 or, Azure's, from its documentation, but whatever is not needed
// here is missing, nothing is stored beyond the process, and of access control
// there is next to nothing. What has to hold with the real servers is tested with
// the real ones, as far as they can be had: see "make e2e".
package devstack

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"
)

// server is a listening HTTP server on 127.0.0.1, on a free port.
type server struct {
	address string
	http    *http.Server
}

func serve(h http.Handler) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen on loopback: %w", err)
	}
	s := &server{
		address: listener.Addr().String(),
		http:    &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second},
	}
	go func() { _ = s.http.Serve(listener) }() // until Close
	return s, nil
}

// URL is the server's address, such as "http://127.0.0.1:40123".
func (s *server) URL() string { return "http://" + s.address }

// Port is the port that the server listens on.
func (s *server) Port() string {
	_, port, _ := net.SplitHostPort(s.address)
	return port
}

// Close stops the server and ends its connections.
func (s *server) Close() { _ = s.http.Close() }

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
