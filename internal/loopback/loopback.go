// Package loopback knows this machine's own names.
package loopback

import (
	"net/netip"
	"strings"
)

// Host reports whether every resolver takes host for this machine (RFC 6761). An
// address with a zone does not count: no URL of ours is compared or sent with one.
func Host(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == "" && addr.Unmap().IsLoopback()
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
