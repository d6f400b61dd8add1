package proxy

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth/internal/loopback"
	"github.com/mlflow-secrets-auth/secretsauth/internal/netcause"
)

// listen opens every address, and decides who may use the first.
func (p *Proxy) listen(ctx context.Context) error {
	cfg := p.cfg
	name := fmt.Sprintf("pid-%d", os.Getpid())
	var l net.Listener
	var err error
	if cfg.Unix != "" {
		l, err = listenUnix(ctx, cfg.Unix, p.log)
		p.guard.anyHost = true
	} else if l, err = listenTCP(ctx, cfg.Listen, cfg.DangerListenOnNetwork); err == nil {
		_, name, _ = net.SplitHostPort(l.Addr().String())
		p.guard.hosts = hostsOf(l, cfg.Names)
	}
	if err != nil {
		return err
	}
	p.clients = newClients(cfg.ClientToken, name)
	p.main = p.newServer(l, p)

	if cfg.Admin != "" {
		if l, err = listenTCP(ctx, cfg.Admin, false); err != nil {
			return err
		}
		own := guard{hosts: hostsOf(l, nil)}
		p.admin = p.newServer(l, own.around(p.adminHandler()))
	}
	return p.listenControl(ctx, name)
}

// listenControl opens the control socket. The proxy goes on without one that nobody
// has named: a container may have no place for it.
func (p *Proxy) listenControl(ctx context.Context, name string) error {
	path := p.cfg.Control
	if path == AutoControl {
		path = controlPath(name)
	}
	if path == "" {
		return nil
	}
	l, err := listenUnix(ctx, path, p.log)
	switch {
	case err == nil:
		p.control = p.newServer(l, p.controlHandler())
	case p.cfg.Control == AutoControl:
		p.log.Warn("No control socket, so no `cache status`: " + err.Error())
	default:
		return err
	}
	return nil
}

// listenTCP opens an address of the loopback interface, or of any if that is meant.
func listenTCP(ctx context.Context, address string, network bool) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, config(fmt.Sprintf("%q is no address to listen on", address), "use the form "+DefaultListen)
	}
	if !network && !loopback.Host(host) {
		return nil, config(fmt.Sprintf("%q is reached by other machines", address),
			"listen on "+DefaultListen+"; or, if whoever gets hold of the client token may use the credential, see --danger-listen-on-network")
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, config(fmt.Sprintf("cannot listen on %s: %v", address, netcause.Of(err)),
			"end the program that has the port, or choose another by --listen or --admin")
	}
	if at, ok := l.Addr().(*net.TCPAddr); !network && (!ok || !at.IP.IsLoopback()) {
		_ = l.Close() // localhost can be set to anything
		return nil, config(fmt.Sprintf("%q leads to %v, which other machines reach", address, l.Addr()), "listen on "+DefaultListen)
	}
	return l, nil
}

// hostsOf is what Host may be on l: its address, the names of loopback, further
// names. On the network every address of this machine may lead here; those that
// are not names cannot be rebound.
func hostsOf(l net.Listener, names []string) map[string]bool {
	own, port, _ := net.SplitHostPort(l.Addr().String())
	all := append([]string{own, "127.0.0.1", "localhost", "::1"}, names...)
	if ip := net.ParseIP(own); ip.IsUnspecified() {
		addresses, _ := net.InterfaceAddrs()
		for _, a := range addresses {
			if network, ok := a.(*net.IPNet); ok {
				all = append(all, network.IP.String())
			}
		}
	}
	hosts := make(map[string]bool)
	for _, name := range all {
		name = strings.ToLower(name)
		hosts[net.JoinHostPort(name, port)] = true
		if port == "80" {
			hosts[name] = true
		}
	}
	return hosts
}
