// Package netcause takes from a network error what can be shown.
package netcause

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
)

// Of returns the error inside err whose text is known to hold addresses, names of
// certificates and fixed words only. Others, such as "malformed HTTP response …", quote
// what was received (S120), and what a caller's transport says is not known; of those
// it returns the type's name.
func Of(err error) error {
	var (
		op          *net.OpError
		dns         *net.DNSError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		certificate x509.CertificateInvalidError
		timeout     net.Error
	)
	switch {
	case errors.As(err, &op):
		return op
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &authority):
		return authority
	case errors.As(err, &hostname):
		return hostname
	case errors.As(err, &certificate):
		return certificate
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("timeout")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return fmt.Errorf("%T", Innermost(err))
}

// Innermost is the error that all others were made of. Its text may hold anything.
func Innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
