package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/mlflow-secrets-auth/secretsauth/internal/proxy"
)

func plainHTTPFlag(cmd *cobra.Command, allowed *bool) {
	cmd.Flags().BoolVar(allowed, "insecure-plain-http-upstream", false, "send the credential over plain http, where anybody on the way can read it")
}

// upstreamTLS names the files by which the upstream is known, and by which the proxy
// shows who it is.
type upstreamTLS struct{ ca, cert, key string }

// flags have in front of their texts when they count.
func (u *upstreamTLS) flags(cmd *cobra.Command, when string) {
	cmd.Flags().StringVar(&u.ca, "upstream-ca", "", when+"PEM `file` of the authorities that vouch for the server, in place of the system's")
	cmd.Flags().StringVar(&u.cert, "client-cert", "", when+"PEM `file` of a certificate to show to the server")
	cmd.Flags().StringVar(&u.key, "client-key", "", when+"PEM `file` of that certificate's key")
}

// transport is what reaches the upstream.
func (u upstreamTLS) transport() (*http.Transport, error) {
	bad := func(flag string, err error) (*http.Transport, error) {
		return nil, refusal(fmt.Sprintf("%s cannot be used: %v", flag, err), "give a file in PEM form")
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if u.ca != "" {
		pem, err := os.ReadFile(u.ca)
		if err != nil {
			return bad("--upstream-ca", err)
		}
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return bad("--upstream-ca", errors.New("there is no certificate in it"))
		}
	}
	if u.cert != "" {
		if _, err := tls.LoadX509KeyPair(u.cert, u.key); err != nil {
			return bad("--client-cert", err)
		}
		// Read at every handshake: such certificates may live for hours only.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(u.cert, u.key)
			return &pair, err
		}
	}
	t := proxy.DefaultBase()
	t.TLSClientConfig = cfg
	return t, nil
}
