package azure

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/mlflow-secrets-auth/secretsauth/internal/env"
	"github.com/mlflow-secrets-auth/secretsauth/internal/loopback"
)

// target is what a Config points at, checked and in one form.
type target struct {
	address   string // scheme, host and perhaps port of the vault
	vault     string // its name in Azure, "" outside the known clouds
	loopback  bool   // an emulator
	authority string // where to log in
	local     bool   // the authority is on the loopback interface
	name      string
	version   string // "" for the latest
}

// clouds are where vaults lie, and where those who read them log in.
var clouds = []struct{ suffix, authority string }{
	{".vault.azure.net", "https://login.microsoftonline.com"},
	{".vault.azure.cn", "https://login.chinacloudapi.cn"},
	{".vault.usgovcloudapi.net", "https://login.microsoftonline.us"},
}

// otherAuthorities are further names of the clouds' authorities.
var otherAuthorities = []string{"https://login.windows.net", "https://login.microsoft.com", "https://sts.windows.net", "https://login.partner.microsoftonline.cn"}

var (
	vaultName     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	secretName    = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`)
	secretVersion = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`)
	hostName      = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+$`)
)

func (c Config) resolve() (target, error) {
	var t target
	badAuthority, badVault := t.setAuthority(c.AuthorityHost), t.setVault(c.VaultURL)
	if badAuthority == nil && badVault == nil {
		badVault = t.checkCloud()
	}
	if err := env.Problems(badVault, t.setName(c.SecretName), t.setVersion(c.SecretVersion), badAuthority); err != nil {
		return target{}, err
	}
	if t.authority == "" {
		t.authority = clouds[0].authority
		for _, cloud := range clouds {
			if strings.HasSuffix(t.address, cloud.suffix) {
				t.authority = cloud.authority
			}
		}
	}
	return t, nil
}

// setAuthority takes a host alone, too, as Azure's other SDKs do.
func (t *target) setAuthority(raw string) error {
	raw = strings.TrimSpace(raw)
	if raw == "" {
		raw = env.Get("AZURE_AUTHORITY_HOST")
	}
	if raw == "" {
		return nil
	}
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return badConfig("AZURE_AUTHORITY_HOST (Config.AuthorityHost) is not the https address of an authority",
			"unset it, or export AZURE_AUTHORITY_HOST=https://login.microsoftonline.com")
	}
	t.authority, t.local = "https://"+strings.ToLower(u.Host), loopback.Host(u.Hostname())
	return nil
}

// private reports whether an authority is set that belongs to none of the clouds.
func (t *target) private() bool {
	if t.authority == "" {
		return false
	}
	for _, cloud := range clouds {
		if t.authority == cloud.authority {
			return false
		}
	}
	return !slices.Contains(otherAuthorities, t.authority)
}

// setVault brings the vault's URL into one form. Its errors never quote it: it may
// hold userinfo (S153, S154).
func (t *target) setVault(raw string) error {
	const example = "export MLFLOW_AZURE_KEY_VAULT_URL=https://NAME.vault.azure.net"
	bad := func(what, fix string) error {
		return badConfig("MLFLOW_AZURE_KEY_VAULT_URL (Config.VaultURL) "+what, fix)
	}
	raw = strings.TrimSpace(raw)
	switch {
	case raw == "":
		return bad("is not set", example)
	case strings.Contains(raw, "://"):
	case vaultName.MatchString(strings.ToLower(raw)):
		return bad("is a bare name, not a URL", example+" with that name")
	default:
		return bad("has no scheme", example)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return bad("is not a URL", example)
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("does not begin with https://", example)
	case u.User != nil:
		return bad("holds a username or password, which Key Vault does not use", example)
	case strings.HasPrefix(u.Path, "/secrets/"):
		return bad("is the identifier of a secret", example+", and put the part after /secrets/ into MLFLOW_AZURE_SECRET_NAME and MLFLOW_AZURE_SECRET_VERSION")
	case strings.Trim(u.Path, "/") != "":
		return bad("has a path", example)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return bad("has a query or a fragment", example)
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if t.loopback = loopback.Host(host); t.loopback {
		t.address = u.Scheme + "://" + strings.ToLower(u.Host)
		return nil
	}
	switch {
	case !hostName.MatchString(host):
		return bad("has no usable host", example)
	case u.Scheme != "https":
		return bad("begins with http://, and the token would cross the network in the clear", example)
	case u.Port() != "" && u.Port() != "443":
		return bad("has a port", example)
	case strings.Contains(host, ".managedhsm."):
		return bad("is a managed HSM's, which holds keys and no secrets", example)
	case strings.Contains(host, ".privatelink.") || strings.HasSuffix(host, ".vaultcore.azure.net"):
		return bad("is the inner name of a private endpoint", example+": the vault's own name leads to its private endpoint, too")
	}
	t.address = "https://" + host
	for _, cloud := range clouds {
		if name, ok := strings.CutSuffix(host, cloud.suffix); ok {
			if !vaultName.MatchString(name) {
				return bad("has no vault's name in front of "+cloud.suffix[1:], example)
			}
			t.vault = name
			return nil
		}
	}
	return nil
}

// checkCloud refuses a vault outside the known clouds, unless the authority is.
func (t *target) checkCloud() error {
	if t.loopback || t.vault != "" || t.private() {
		return nil
	}
	return badConfig("MLFLOW_AZURE_KEY_VAULT_URL (Config.VaultURL) is no address of Key Vault",
		"it ends in vault.azure.net, vault.azure.cn or vault.usgovcloudapi.net; in a private cloud set AZURE_AUTHORITY_HOST, too")
}

func (t *target) setName(name string) error {
	const example = "export MLFLOW_AZURE_SECRET_NAME=mlflow-auth"
	bad := func(what, fix string) error {
		return badConfig("MLFLOW_AZURE_SECRET_NAME (Config.SecretName) "+what, fix)
	}
	t.name = strings.TrimSpace(name)
	switch {
	case t.name == "":
		return bad("is not set", example)
	case strings.Contains(t.name, "://"):
		return bad("is a URL", "split https://VAULT/secrets/NAME/VERSION: https://VAULT goes into MLFLOW_AZURE_KEY_VAULT_URL, NAME here, VERSION into MLFLOW_AZURE_SECRET_VERSION")
	case strings.Contains(t.name, "/"):
		return bad("contains a slash", "put the name alone here; a version goes into MLFLOW_AZURE_SECRET_VERSION")
	case !secretName.MatchString(t.name):
		return bad("is not a secret's name: 1 to 127 of 0-9, a-z, A-Z and -", example)
	}
	return nil
}

func (t *target) setVersion(version string) error {
	t.version = strings.TrimSpace(version)
	if t.version != "" && !secretVersion.MatchString(t.version) {
		return badConfig("MLFLOW_AZURE_SECRET_VERSION (Config.SecretVersion) is not a version",
			"take one from `az keyvault secret list-versions`, the last part of its id, or unset it for the latest")
	}
	return nil
}

// key is the secret's name in logs and caches.
func (t target) key() string {
	key := "azure-key-vault:" + t.address + ":" + t.name
	if t.version != "" {
		key += "?version=" + t.version
	}
	return key
}

// path is the secret's identifier, without its version.
func (t target) path() string { return t.address + "/secrets/" + t.name }

// cli names the vault to the Azure CLI.
func (t target) cli() string {
	if t.vault == "" {
		return "VAULT"
	}
	return t.vault
}
