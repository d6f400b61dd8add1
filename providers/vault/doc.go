// Package vault reads an MLflow credential from a KV secrets engine, version 1
// or 2, of HashiCorp Vault or OpenBao.
//
//	store, err := vault.New(vault.Config{
//		Address:    "https://vault.company.com",
//		SecretPath: "secret/mlflow/auth",
//		RoleID:     roleID,
//		SecretID:   secretID,
//	})
//
// [ConfigFromEnv] reads the same from the environment. The secret has a field
// token, or the fields username and password:
//
//	vault kv put secret/mlflow/auth token=…
//
// # The policy to grant
//
// One path, read only; for KV version 2 it has data/ after the mount:
//
//	path "secret/data/mlflow/auth" { capabilities = ["read"] }  # KV version 2
//	path "secret/mlflow/auth"      { capabilities = ["read"] }  # KV version 1
//
// # The path
//
// It is what "vault kv get" takes, mount and name: secret/mlflow/auth. The form
// of the API, secret/data/mlflow/auth, is the same secret; a leading slash or
// v1/ and a trailing slash are dropped. The mount may have any name and depth
// (team/kv/mlflow/auth): where it ends, and its version, is asked of Vault the
// way "vault kv get" asks, with GET sys/internal/ui/mounts/PATH, and remembered
// until the path is not found or denied. Where Vault does not answer that,
// likely places are tried, four reads at most. A version of KV version 2 can be
// pinned with [Config.SecretVersion].
//
// # Logging in
//
// The first of these that is configured is used:
//
//   - [Config.Token] (VAULT_TOKEN), as it is;
//   - AppRole, [Config.RoleID] and [Config.SecretID];
//   - Kubernetes, [Config.KubernetesRole] with the pod's service-account token,
//     whose file is read again at every login, since kubelet replaces it;
//   - the file ~/.vault-token that "vault login" writes, read at every fetch.
//     Vault's external token helpers are not consulted.
//
// A token from a login is kept until nine tenths of its lifetime are over, and
// never renewed: a login is as cheap. When Vault answers 403, there is one new
// login (of the file: one new look) and one more read. Concurrent fetches share
// a login.
//
// # When Vault fails
//
// Connection errors, 429, 412 and 5xx are tried again, [Config.MaxAttempts] in
// all for one Fetch, at pauses from about 100 ms that double. A Retry-After is
// obeyed up to 2 s, and reported whole by [secretsauth.Error.RetryAfter]. No
// pause outlasts the context. A 5xx at the end is followed by one look at
// sys/health, to tell a sealed Vault from a broken one.
//
// Redirects are not followed, wherever they lead: a standby node that answers
// with one is an error that says what VAULT_ADDR should be. Vault's own client
// would send the token along.
//
// A version that is deleted, a version that is destroyed, a path that is not
// there, a mount that is not there, a sealed Vault, a token that is not accepted
// and a path that the token may not read are different errors. Vault answers 403
// to an unknown mount too, unless the token has wide rights; the error for a
// denied path says so. A secret that KV version 2 is going to delete
// (delete_version_after) carries that time as its expiry.
//
// # The environment of Vault's own client
//
// Unless [Config.HTTPClient] brings a transport, TLS and proxy settings are those
// of Vault's client: VAULT_CACERT, VAULT_CACERT_BYTES, VAULT_CAPATH,
// VAULT_CLIENT_CERT, VAULT_CLIENT_KEY, VAULT_TLS_SERVER_NAME, VAULT_SKIP_VERIFY,
// VAULT_PROXY_ADDR, VAULT_HTTP_PROXY. VAULT_CLIENT_TIMEOUT (60 s) bounds each
// request, inside the context. VAULT_RATE_LIMIT and VAULT_HEADERS apply. That
// client reads its variables as they stand, spaces included, and so a value with
// spaces is refused.
//
// Not used: VAULT_MAX_RETRIES (see MaxAttempts), VAULT_DISABLE_REDIRECTS (always
// disabled), VAULT_AGENT_ADDR (point VAULT_ADDR at the agent), VAULT_SRV_LOOKUP,
// VAULT_WRAP_TTL.
package vault
