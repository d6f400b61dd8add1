package devstack

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// KeyVault is a stand-in for Azure as a program in App Service sees it: the
// secrets of one Key Vault, by version 7 of its REST API, and the managed
// identity endpoint that issues tokens, by version 2019-08-01. It speaks what
// Microsoft documents of both, over plain HTTP. The vault accepts the endpoint's
// own tokens and no others, until they expire.
type KeyVault struct {
	*server
	header     string
	identities []string

	mu      sync.Mutex
	secrets map[string][]*secretVersion // by name; the last is current
	denied  map[string]bool             // by name
	tokens  map[string]*issued
	logins  map[string]int // by client id
	reads   int
}

type secretVersion struct {
	id, value string
	Attributes
	created int64
}

// Attributes are what "az keyvault secret set-attributes" sets. The dates are in
// Unix time, 0 for none.
type Attributes struct {
	Enabled   bool  `json:"enabled"`
	NotBefore int64 `json:"nbf,omitempty"`
	Expires   int64 `json:"exp,omitempty"`
}

const (
	keyVaultResource  = "https://vault.azure.net"
	keyVaultChallenge = `Bearer authorization="https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555", resource="` + keyVaultResource + `"`
)

// StartKeyVault starts a stand-in whose endpoint wants header: IDENTITY_HEADER, in
// a program's environment. There are a system-assigned identity and user-assigned
// ones with these client ids.
func StartKeyVault(header string, clientIDs ...string) (*KeyVault, error) {
	v := &KeyVault{
		header: header, identities: append([]string{""}, clientIDs...), logins: make(map[string]int), tokens: make(map[string]*issued),
		secrets: make(map[string][]*secretVersion), denied: make(map[string]bool),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /msi/token", v.issue)
	mux.HandleFunc("GET /secrets/{name}", v.read)
	mux.HandleFunc("GET /secrets/{name}/{version...}", v.read)
	var err error
	v.server, err = serve(mux)
	return v, err
}

// Put stores a new version of a secret, as "az keyvault secret set" does, and
// returns its id.
func (v *KeyVault) Put(name, value string) (version string) {
	var id [16]byte
	_, _ = rand.Read(id[:])
	s := &secretVersion{fmt.Sprintf("%x", id), value, Attributes{Enabled: true}, time.Now().Unix()}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets[name] = append(v.secrets[name], s)
	return s.id
}

// SetAttributes changes those of the current version of a secret that is there.
func (v *KeyVault) SetAttributes(name string, a Attributes) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.find(name, "").Attributes = a
}

// Deny takes from every identity the role that allows to read a secret.
func (v *KeyVault) Deny(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.denied[name] = true
}

// Reads is how often a secret was given out.
func (v *KeyVault) Reads() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.reads
}

// read gives out a secret outside its dates, too: Key Vault leaves them to the
// reader.
func (v *KeyVault) read(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	name := r.PathValue("name")
	s, distrust := v.find(name, r.PathValue("version")), v.distrust(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	switch {
	case distrust != "":
		w.Header().Set("WWW-Authenticate", keyVaultChallenge)
		keyVaultError(w, http.StatusUnauthorized, "Unauthorized", "", distrust)
	case v.denied[name]:
		keyVaultError(w, http.StatusForbidden, "Forbidden", "ForbiddenByRbac", "Caller is not authorized to perform action on resource.\r\n"+
			"If role assignments, deny assignments or role definitions were changed recently, please observe propagation time.")
	case s == nil:
		keyVaultError(w, http.StatusNotFound, "SecretNotFound", "", "A secret with (name/id) "+strings.Trim(strings.TrimPrefix(r.URL.Path, "/secrets"), "/")+
			" was not found in this key vault. If you recently deleted this secret you may be able to recover it using the correct recovery command.")
	case !s.Enabled:
		keyVaultError(w, http.StatusForbidden, "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret.")
	default:
		v.reads++
		answer(w, http.StatusOK, map[string]any{"value": s.value, "id": v.URL() + "/secrets/" + name + "/" + s.id, "attributes": struct {
			Attributes
			Created int64  `json:"created"`
			Updated int64  `json:"updated"`
			Level   string `json:"recoveryLevel"`
		}{s.Attributes, s.created, s.created, "Recoverable+Purgeable"}})
	}
}

// find returns the latest version if version is "", and nil if there is none.
func (v *KeyVault) find(name, version string) *secretVersion {
	for _, s := range slices.Backward(v.secrets[name]) {
		if version == "" || version == s.id {
			return s
		}
	}
	return nil
}

// keyVaultError is a refusal; inner says why it is a 403.
func keyVaultError(w http.ResponseWriter, status int, code, inner, message string) {
	problem := map[string]any{"code": code, "message": message}
	if inner != "" {
		problem["innererror"] = map[string]string{"code": inner}
	}
	answer(w, status, map[string]any{"error": problem})
}
