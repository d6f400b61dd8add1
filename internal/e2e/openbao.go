//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/providers/vault"
)

// openBao is a server with storage on disk and one unseal key, so that it can be
// stopped and started again. It is set up over HTTP, without our library.
type openBao struct {
	t       *testing.T
	url     string
	dir     string
	process *process
	key     string // to unseal
	root    string // the root token
}

// newOpenBao starts a server that t has to itself, to stop it and to seal it.
func newOpenBao(t *testing.T) *openBao {
	t.Helper()
	b, err := startOpenBao(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b = b.in(t)
	t.Cleanup(func() { b.stop() }) // the process that runs then, after a restart
	return b
}

func startOpenBao(dir string) (*openBao, error) {
	b := &openBao{dir: dir}
	data := filepath.Join(b.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	err := onFreePort(func(port string) error {
		b.url = "http://127.0.0.1:" + port
		config := fmt.Sprintf(`
storage "raft" {
  path    = %q
  node_id = "one"
}
listener "tcp" {
  address     = "127.0.0.1:%s"
  tls_disable = true
}
api_addr     = %q
cluster_addr = "https://127.0.0.1:0"
`, data, port, b.url)
		if err := os.WriteFile(b.config(), []byte(config), 0o600); err != nil {
			return err
		}
		return b.run()
	})
	if err != nil {
		return nil, err
	}
	var init struct {
		Keys []string `json:"keys"`
		Root string   `json:"root_token"`
	}
	if err := b.do(http.MethodPut, "sys/init", map[string]int{"secret_shares": 1, "secret_threshold": 1}, &init); err != nil {
		b.stop()
		return nil, err
	}
	b.key, b.root = init.Keys[0], init.Root
	if err := b.unseal(); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

// in is b as t uses it: what fails, fails t.
func (b *openBao) in(t *testing.T) *openBao {
	own := *b
	own.t = t
	return &own
}

func (b *openBao) config() string { return filepath.Join(b.dir, "config.hcl") }

// run starts the server. Uninitialised or sealed, it answers 501 or 503.
func (b *openBao) run() error {
	cmd := exec.Command(bin("mlflow", "bao"), "server", "-config="+b.config())
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir}
	var err error
	b.process, err = start(filepath.Join(b.dir, "log"), cmd, answers(b.url+"/v1/sys/health?uninitcode=200&sealedcode=200", http.StatusOK))
	return err
}

func (b *openBao) unseal() error {
	if err := b.do(http.MethodPut, "sys/unseal", map[string]string{"key": b.key}, nil); err != nil {
		return err
	}
	return b.process.await(answers(b.url+"/v1/sys/health", http.StatusOK))
}

// stop ends the server; restart brings it back, on the same port.
func (b *openBao) stop() { b.process.stop() }

func (b *openBao) restart() {
	b.t.Helper()
	err := b.run()
	if err == nil {
		err = b.unseal()
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// do is one request with the root token. A failure shows the status only.
func (b *openBao) do(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, b.url+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Token", b.root)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = statusError(resp.StatusCode)
	}
	if err != nil {
		return fmt.Errorf("OpenBao: %s %s: %w", method, path, err)
	}
	if out != nil && json.Unmarshal(text, out) != nil {
		return fmt.Errorf("OpenBao: %s %s: no JSON", method, path)
	}
	return nil
}

func (b *openBao) call(method, path string, in, out any) {
	b.t.Helper()
	if err := b.do(method, path, in, out); err != nil {
		b.t.Fatal(err)
	}
}

// mount enables a KV engine.
func (b *openBao) mount(path string, version int) {
	b.t.Helper()
	b.call(http.MethodPost, "sys/mounts/"+path, map[string]any{
		"type": "kv", "options": map[string]string{"version": fmt.Sprint(version)},
	}, nil)
	if version == 2 { // it upgrades in the background and says 400 meanwhile
		if err := b.process.await(func() error { return b.do(http.MethodGet, path+"/config", nil, nil) }); err != nil {
			b.t.Fatal(err)
		}
	}
}

// login is a way to log in to OpenBao.
type login string

const (
	byToken   login = "token"
	byAppRole login = "AppRole"
)

// secret is one path of a KV engine, and how the library logs in to read it.
type secret struct {
	bao     *openBao
	mount   string
	name    string
	version int
	how     login
}

// inOpenBao is a secret at a mount of its own.
func inOpenBao(t *testing.T, bao *openBao, how login, version int) secret {
	t.Helper()
	s := secret{bao: bao.in(t), mount: "team/" + strings.ToLower(rand.Text()), name: "mlflow/auth", version: version, how: how}
	s.bao.mount(s.mount, version)
	return s
}

func (s secret) provider() (secretsauth.Provider, error) { return vault.New(s.config()) }

// config reads s with a token or role that may do nothing else.
func (s secret) config() vault.Config {
	cfg := vault.Config{Address: s.bao.url, SecretPath: s.path()}
	policy := s.reader()
	switch s.how {
	case byToken:
		cfg.Token = s.bao.token(policy)
	case byAppRole:
		cfg.AuthMount, cfg.RoleID, cfg.SecretID = s.bao.appRole(policy, "1h")
	}
	return cfg
}

func (s secret) environ() map[string]string {
	cfg := s.config()
	return map[string]string{
		"MLFLOW_SECRETS_AUTH_ENABLE": "vault",
		"MLFLOW_VAULT_SECRET_PATH":   cfg.SecretPath,
		"MLFLOW_VAULT_AUTH_MOUNT":    cfg.AuthMount,
		"VAULT_ADDR":                 cfg.Address,
		"VAULT_TOKEN":                cfg.Token,
		"VAULT_ROLE_ID":              cfg.RoleID,
		"VAULT_SECRET_ID":            cfg.SecretID,
	}
}

func (s secret) path() string { return s.mount + "/" + s.name }

// api is the path that is read, and that a policy names.
func (s secret) api() string {
	if s.version == 2 {
		return s.mount + "/data/" + s.name
	}
	return s.path()
}

func (s secret) put(fields map[string]string) {
	s.bao.t.Helper()
	var body any = fields
	if s.version == 2 {
		body = map[string]any{"data": fields}
	}
	s.bao.call(http.MethodPost, s.api(), body, nil)
}

// policy is the name of the policy that permits reading s.
func (s secret) policy() string { return "reader-" + strings.ReplaceAll(s.path(), "/", "-") }

// reader makes that policy, and no more than it.
func (s secret) reader() string {
	s.bao.call(http.MethodPut, "sys/policies/acl/"+s.policy(), map[string]string{
		"policy": fmt.Sprintf(`path %q { capabilities = ["read"] }`, s.api()),
	}, nil)
	return s.policy()
}

// token makes a token with policies.
func (b *openBao) token(policies ...string) string {
	var out struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	b.call(http.MethodPost, "auth/token/create", map[string]any{"policies": policies}, &out)
	return out.Auth.Token
}

// appRole makes a role whose tokens last ttl, at a mount of its own.
func (b *openBao) appRole(policy, ttl string) (mount, roleID, secretID string) {
	mount = "approle-" + strings.ToLower(rand.Text())
	b.call(http.MethodPost, "sys/auth/"+mount, map[string]string{"type": "approle"}, nil)
	b.call(http.MethodPost, "auth/"+mount+"/role/mlflow", map[string]any{"token_policies": policy, "token_ttl": ttl}, nil)
	var out struct {
		Data struct {
			RoleID   string `json:"role_id"`
			SecretID string `json:"secret_id"`
		} `json:"data"`
	}
	b.call(http.MethodGet, "auth/"+mount+"/role/mlflow/role-id", nil, &out)
	roleID = out.Data.RoleID
	b.call(http.MethodPost, "auth/"+mount+"/role/mlflow/secret-id", nil, &out)
	return mount, roleID, out.Data.SecretID
}
