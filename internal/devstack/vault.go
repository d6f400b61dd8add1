package devstack

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Vault is a stand-in for a Vault server with one KV version 2 engine, mounted at
// secret/, and one token that may read everything.
type Vault struct {
	*server
	token string

	mu      sync.Mutex
	secrets map[string][]version // by path below the mount; the last is current
	reads   int
}

type version struct {
	data    any // of JSON
	created time.Time
}

// StartVault starts a stand-in that accepts token.
func StartVault(token string) (*Vault, error) {
	v := &Vault{token: token, secrets: make(map[string][]version)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/sys/health", v.health)
	mux.HandleFunc("GET /v1/sys/internal/ui/mounts/{path...}", v.mount)
	mux.HandleFunc("GET /v1/auth/token/lookup-self", v.lookupSelf)
	mux.HandleFunc("GET /v1/secret/data/{path...}", v.read)
	mux.HandleFunc("/v1/", noHandler)
	var err error
	v.server, err = serve(v.authenticated(mux))
	return v, err
}

// Write stores a new version of a secret, as "vault kv put secret/PATH" does.
func (v *Vault) Write(path string, data map[string]string) { v.write(path, maps.Clone(data)) }

// WriteJSON does so with a JSON object, as "vault kv put secret/PATH @FILE" does.
func (v *Vault) WriteJSON(path, data string) { v.write(path, json.RawMessage(data)) }

func (v *Vault) write(path string, data any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets[path] = append(v.secrets[path], version{data, time.Now().UTC()})
}

// Reads is how often a secret has been read.
func (v *Vault) Reads() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.reads
}

func (v *Vault) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.URL.Path != "/v1/sys/health" && r.Header.Get("X-Vault-Token") != v.token {
			vaultErrors(w, http.StatusForbidden, "permission denied")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (v *Vault) health(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"initialized": true, "sealed": false, "standby": false, "version": "stand-in",
		"server_time_utc": time.Now().Unix(),
	})
}

// mount says which engine a path belongs to.
func (v *Vault) mount(w http.ResponseWriter, r *http.Request) {
	path := r.PathValue("path")
	if !strings.HasPrefix(path, "secret/") {
		vaultErrors(w, http.StatusForbidden, fmt.Sprintf(
			"preflight capability check returned 403, please ensure client's policies grant access to path %q", path+"/"))
		return
	}
	vaultData(w, map[string]any{
		"path": "secret/", "type": "kv", "description": "key/value secret storage",
		"options": map[string]string{"version": "2"},
	})
}

func (v *Vault) lookupSelf(w http.ResponseWriter, _ *http.Request) {
	vaultData(w, map[string]any{
		"display_name": "token", "policies": []string{"root"}, "renewable": false, "ttl": 0, "type": "service",
	})
}

func (v *Vault) read(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	versions := v.secrets[r.PathValue("path")]
	v.reads++
	v.mu.Unlock()

	n := len(versions)
	if wanted := r.URL.Query().Get("version"); wanted != "" && wanted != "0" {
		n, _ = strconv.Atoi(wanted)
	}
	if n < 1 || n > len(versions) {
		vaultErrors(w, http.StatusNotFound)
		return
	}
	current := versions[n-1]
	vaultData(w, map[string]any{
		"data": current.data,
		"metadata": map[string]any{
			"created_time": current.created, "custom_metadata": nil, "deletion_time": "", "destroyed": false, "version": n,
		},
	})
}

func noHandler(w http.ResponseWriter, r *http.Request) {
	route := strings.TrimPrefix(r.URL.Path, "/v1/")
	vaultErrors(w, http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", route))
}

// vaultData is the envelope of every answer that holds something.
func vaultData(w http.ResponseWriter, data any) {
	answer(w, http.StatusOK, map[string]any{
		"request_id": rand.Text(), "lease_id": "", "renewable": false, "lease_duration": 0,
		"data": data, "wrap_info": nil, "warnings": nil, "auth": nil,
	})
}

// vaultErrors is a refusal; Vault sends an empty list with a plain "not found".
func vaultErrors(w http.ResponseWriter, status int, texts ...string) {
	answer(w, status, map[string]any{"errors": append([]string{}, texts...)})
}
