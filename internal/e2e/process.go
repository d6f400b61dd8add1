//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// readyWithin is generous: two slow cores share it with everything else.
const readyWithin = 2 * time.Minute

// process is a server that was started here. It is its own process group, so
// that stopping it stops its children and nothing else.
type process struct {
	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{}
	once   sync.Once // its id is another's to use once it is gone
}

// running are the processes that nobody has stopped yet.
var running struct {
	sync.Mutex
	m map[*process]bool
}

func (p *process) register(on bool) {
	running.Lock()
	defer running.Unlock()
	if running.m == nil {
		running.m = make(map[*process]bool)
	}
	if running.m[p] = on; !on {
		delete(running.m, p)
	}
}

// stopAll stops what is left, and tells what that was.
func stopAll() (names []string) {
	running.Lock()
	left := slices.Collect(maps.Keys(running.m))
	running.Unlock()
	for _, p := range left {
		names = append(names, filepath.Base(p.cmd.Path))
		p.stop()
	}
	return names
}

// start runs a server and waits until ready says so.
func start(log string, cmd *exec.Cmd, ready func() error) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	p := &process{cmd: cmd, log: file, exited: make(chan struct{})}
	p.register(true)
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	if err := p.await(ready); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s: %w; the end of its log:\n%s", filepath.Base(cmd.Path), err, tail(log))
	}
	return p, nil
}

func (p *process) await(ready func() error) error {
	var err error
	for deadline := time.Now().Add(readyWithin); time.Now().Before(deadline); {
		if err = ready(); err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return errExited
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("not ready within %v: %w", readyWithin, err)
}

var errExited = errors.New("it has ended")

// stop ends the group, politely first, and whatever of it outlives the server.
func (p *process) stop() {
	p.once.Do(func() {
		group := -p.cmd.Process.Pid
		_ = syscall.Kill(group, syscall.SIGTERM)
		select {
		case <-p.exited:
		case <-time.After(15 * time.Second):
		}
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-p.exited
		_ = p.log.Close()
		p.register(false)
	})
}

func tail(log string) []byte {
	text, _ := os.ReadFile(log)
	return bytes.TrimSpace(text[max(0, len(text)-3000):])
}

// onFreePort calls f with a free port, again with another one if it is taken or the
// server has ended at once: somebody else may have taken it meanwhile. The system
// chooses from 32768 on, for connections too, so these are below: a server that was
// stopped is to get its port again.
func onFreePort(f func(port string) error) (err error) {
	var l net.Listener
	for starts, tries := 0, 0; starts < 3 && tries < 100; tries++ {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		if l, err = net.Listen("tcp", "127.0.0.1:"+port); err != nil {
			continue
		}
		if err = l.Close(); err != nil {
			return err
		}
		starts++
		if err = f(port); !errors.Is(err, errExited) {
			return err
		}
	}
	return err
}

// answers checks that a URL answers with a status.
func answers(url string, status int) func() error {
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != status {
			return fmt.Errorf("%s: %s", url, resp.Status)
		}
		return nil
	}
}

// bin is a program of a virtual environment that install.sh has made.
func bin(venv, name string) string {
	cache := os.Getenv("SECRETSAUTH_E2E_CACHE")
	if cache == "" {
		cache = filepath.Join("..", "..", ".cache", "e2e")
	}
	path, err := filepath.Abs(filepath.Join(cache, venv, "bin", name))
	if err != nil {
		return name
	}
	return path
}
