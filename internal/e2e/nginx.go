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

// frontDoor is nginx in front of MLflow: it wants a Bearer token, and knocks at
// MLflow with a password of its own.
type frontDoor struct {
	t       *testing.T
	url     string
	port    string
	dir     string
	process *process
	mlflow  *mlflowServer
}

func startFrontDoor(t *testing.T, m *mlflowServer, token string) *frontDoor {
	t.Helper()
	d := &frontDoor{t: t, dir: t.TempDir(), mlflow: m}
	err := onFreePort(func(port string) error {
		d.url, d.port = "http://127.0.0.1:"+port, port
		d.configure(token)
		cmd := nginxCommand(d.dir, d.config())
		var err error
		d.process, err = start(filepath.Join(d.dir, "log"), cmd, answers(d.url, http.StatusUnauthorized))
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

func (d *frontDoor) configure(token string) {
	d.t.Helper()
	upstream, err := url.Parse(d.mlflow.url)
	if err != nil {
		d.t.Fatal(err)
	}
	admin := d.mlflow.admin.http.Transport.(basic)
	password := base64.StdEncoding.EncodeToString([]byte(admin.user + ":" + admin.password))
	text := fmt.Sprintf(`%[1]s
  client_max_body_size 0;
  map_hash_bucket_size 256;
  map $http_authorization $allowed { default 0; "Bearer %[2]s" 1; }
  server {
    listen 127.0.0.1:%[3]s;
    if ($allowed = 0) { return 401; }
    location / {
      proxy_pass %[4]s;
      proxy_set_header Host %[5]s;
      proxy_set_header Authorization "Basic %[6]s";
    }
  }
}
`, nginxHead(d.dir), token, d.port, d.mlflow.url, upstream.Host, password)
	if err := os.WriteFile(d.config(), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// rotate accepts token from now on, and no other.
func (d *frontDoor) rotate(token string) {
	d.t.Helper()
	d.configure(token)
	if err := syscall.Kill(d.process.cmd.Process.Pid, syscall.SIGHUP); err != nil {
		d.t.Fatal(err)
	}
	if err := d.process.await(func() error {
		req, err := http.NewRequest(http.MethodGet, d.url+"/health", nil)
		if err != nil {
			return err
		}
		req.Close = true // a connection of the old configuration answers by it
		req.Header.Set("Authorization", "Bearer "+token)
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
