//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
)

// bareProxy is what people write in place of ours: httputil.ReverseProxy and a static
// header. It runs as a process of its own, this test's program.
const bareProxyEnv = "SECRETSAUTH_E2E_BARE_PROXY"

func bareProxy(upstream string) {
	to, err := url.Parse(upstream)
	if err != nil {
		panic(err)
	}
	header := "Bearer " + os.Getenv(bareProxyEnv+"_TOKEN")
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Set("Authorization", header)
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 100},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("listening http://" + l.Addr().String())
	panic(http.Serve(l, proxy))
}

// TestThroughputOfTheProxy reports how the proxy compares with a bare one and with
// nginx, and how much memory it takes while a large upload passes. Times are not
// held against it: machines are noisy.
func TestThroughputOfTheProxy(t *testing.T) {
	token := canary.New()
	body := []byte(strings.Repeat("x", 1024))
	var refused atomic.Int64
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer "+token {
			refused.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = w.Write(body)
	}))
	defer upstream.Close()

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bare := serve(t, map[string]string{bareProxyEnv: upstream.URL, bareProxyEnv + "_TOKEN": token}, self).await(`^listening (\S+)`)[1]

	s := inOpenBao(t, openbao, byToken, 2)
	s.put(map[string]string{"token": token})
	process := serve(t, joined(machine(t), s.environ(), allowed, map[string]string{"XDG_RUNTIME_DIR": t.TempDir()}),
		program, "proxy", "--upstream", upstream.URL, "--listen", "127.0.0.1:0")
	ours := process.await(`^export MLFLOW_TRACKING_URI=(\S+)`)[1]
	client := process.await(`^export MLFLOW_TRACKING_TOKEN=(\S+)`)[1]

	contenders := []struct{ name, url, token string }{
		{"bare ReverseProxy", bare, ""}, {"nginx", startNginx(t, upstream.URL, token), ""}, {"ours", ours, client},
	}
	best := map[string]float64{}
	for range 5 { // interleaved, and the best of each
		for _, c := range contenders {
			best[c.name] = max(best[c.name], hammer(t, c.url, c.token))
		}
	}
	if n := refused.Load(); n > 0 {
		t.Errorf("%d requests arrived without the credential", n)
	}
	for _, c := range contenders {
		t.Logf("%-18s %6.0f requests a second, ours is %.2f of it", c.name, best[c.name], best["ours"]/best[c.name])
	}

	const size = 1 << 30
	before := peakMemory(t, process.cmd.Process.Pid)
	begun := time.Now()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, ours+"/artifact", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	req.Header.Set("Authorization", "Bearer "+client)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the upload: %s", resp.Status)
	}
	after := peakMemory(t, process.cmd.Process.Pid)
	t.Logf("1 GB up in %.1f s; peak of memory %d MB before, %d MB after", time.Since(begun).Seconds(), before>>10, after>>10)
	if after > 128<<10 {
		t.Errorf("the proxy took %d MB: does it keep bodies?", after>>10)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// hammer is how many requests a second 16 clients get through.
func hammer(t *testing.T, url, token string) float64 {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	defer transport.CloseIdleConnections()
	var done, failed atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for range 16 {
		wg.Go(func() {
			for time.Since(begun) < time.Second {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/version", nil)
				if err != nil {
					failed.Add(1)
					return
				}
				if token != "" {
					req.Header.Set("Authorization", "Bearer "+token)
				}
				resp, err := transport.RoundTrip(req)
				if err != nil {
					failed.Add(1)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					failed.Add(1)
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d requests failed", failed.Load())
	}
	return float64(done.Load()) / time.Since(begun).Seconds()
}

// peakMemory is in kB.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	kB, _ := strconv.Atoi(regexp.MustCompile(`VmHWM:\s+(\d+)`).FindStringSubmatch(string(text))[1])
	return kB
}

// startNginx is nginx that adds a static header.
func startNginx(t *testing.T, upstream, token string) string {
	t.Helper()
	dir, address := t.TempDir(), ""
	err := onFreePort(func(port string) error {
		address = "http://127.0.0.1:" + port
		text := fmt.Sprintf(`%[1]s
  upstream behind { server %[3]s; keepalive 32; }
  server {
    listen 127.0.0.1:%[4]s;
    location / { proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Authorization "Bearer %[2]s"; }
  }
}
`, nginxHead(dir), token, strings.TrimPrefix(upstream, "http://"), port)
		config := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return err
		}
		p, err := start(filepath.Join(dir, "log"), nginxCommand(dir, config), answers(address, http.StatusOK))
		if err == nil {
			t.Cleanup(p.stop)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return address
}
