//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// frontDoor is nginx in front of MLflow, which lets in who knows a secret.
type frontDoor struct {
	t       *testing.T
	url     string
	port    string
	dir     string
	process *process
	mlflow  *mlflowServer
	asks    doorman
}

// doorman is what a door asks for.
type doorman struct {
	refusal int                             // the status for who does not know the secret
	knows   func(secret string) string      // nginx's map of a request to $allowed
	knock   func(secret string) http.Header // what gets in
	pass    string                          // what nginx does with the headers
}

// startFrontDoor wants a Bearer token, and knocks at MLflow with a password of its own.
func startFrontDoor(t *testing.T, m *mlflowServer, token string) *frontDoor {
	t.Helper()
	admin := m.admin.http.Transport.(basic)
	password := base64.StdEncoding.EncodeToString([]byte(admin.user + ":" + admin.password))
	return startDoor(t, m, token, doorman{
		refusal: http.StatusUnauthorized,
		knows: func(token string) string {
			return `map $http_authorization $allowed { default 0; "Bearer ` + token + `" 1; }`
		},
		knock: func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} },
		pass:  `proxy_set_header Authorization "Basic ` + password + `";`,
	})
}

// startAccess wants the two headers of Cloudflare Access, and leaves the rest to MLflow.
func startAccess(t *testing.T, m *mlflowServer, id, secret string) *frontDoor {
	t.Helper()
	return startDoor(t, m, secret, doorman{
		refusal: http.StatusForbidden,
		knows: func(secret string) string {
			return `map "$http_cf_access_client_id $http_cf_access_client_secret" $allowed { default 0; "` + id + " " + secret + `" 1; }`
		},
		knock: func(secret string) http.Header {
			return http.Header{"Cf-Access-Client-Id": {id}, "Cf-Access-Client-Secret": {secret}}
		},
		pass: `proxy_set_header Cf-Access-Client-Id ""; proxy_set_header Cf-Access-Client-Secret "";`,
	})
}

func startDoor(t *testing.T, m *mlflowServer, secret string, asks doorman) *frontDoor {
	t.Helper()
	d := &frontDoor{t: t, dir: t.TempDir(), mlflow: m, asks: asks}
	err := onFreePort(func(port string) error {
		d.url, d.port = "http://127.0.0.1:"+port, port
		d.configure(secret)
		cmd := nginxCommand(d.dir, d.config())
		var err error
		d.process, err = start(filepath.Join(d.dir, "log"), cmd, answers(d.url, asks.refusal))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.process.stop)
	return d
}

// nginxCommand runs nginx with everything that it writes in dir.
func nginxCommand(dir, config string) *exec.Cmd {
	path, err := exec.LookPath("nginx")
	if err != nil {
		path = "/usr/sbin/nginx"
	}
	return exec.Command(path, "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", config)
}

// nginxHead is the beginning of a configuration, into its http block.
func nginxHead(dir string) string {
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // its workers write to the test's folder
	}
	return fmt.Sprintf(`
%[2]s
daemon off;
worker_processes 1;
pid %[1]s/pid;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;`, dir, user)
}

func (d *frontDoor) config() string { return filepath.Join(d.dir, "nginx.conf") }

func (d *frontDoor) configure(secret string) {
	d.t.Helper()
	upstream, err := url.Parse(d.mlflow.url)
	if err != nil {
		d.t.Fatal(err)
	}
	text := fmt.Sprintf(`%[1]s
  client_max_body_size 0;
  map_hash_bucket_size 256;
  %[2]s
  server {
    listen 127.0.0.1:%[3]s;
    if ($allowed = 0) { return %[7]d; }
    location / {
      proxy_pass %[4]s;
      proxy_set_header Host %[5]s;
      %[6]s
    }
  }
}
`, nginxHead(d.dir), d.asks.knows(secret), d.port, d.mlflow.url, upstream.Host, d.asks.pass, d.asks.refusal)
	if err := os.WriteFile(d.config(), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// rotate lets in who knows this secret from now on, and nobody else.
func (d *frontDoor) rotate(secret string) {
	d.t.Helper()
	d.configure(secret)
	if err := syscall.Kill(d.process.cmd.Process.Pid, syscall.SIGHUP); err != nil {
		d.t.Fatal(err)
	}
	if err := d.process.await(func() error {
		req, err := http.NewRequest(http.MethodGet, d.url+"/health", nil)
		if err != nil {
			return err
		}
		req.Close = true // a connection of the old configuration answers by it
		req.Header = d.asks.knock(secret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return statusError(resp.StatusCode)
		}
		return nil
	}); err != nil {
		d.t.Fatal(err)
	}
}
