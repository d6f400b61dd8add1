// Package loopback knows this machine's own names.
package loopback

import (
	"net/netip"
	"strings"
)

// Host reports whether every resolver takes host for this machine (RFC 6761).
func Host(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
