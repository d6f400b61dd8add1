// Package azure reads an MLflow credential from Azure Key Vault.
//
//	store, err := azure.New(azure.Config{
//		VaultURL:   "https://my-vault.vault.azure.net",
//		SecretName: "mlflow-auth",
//	})
//
// [ConfigFromEnv] reads the same from the environment. The secret's value is a
// JSON object with a field token, or with the fields username and password, or
// bare text:
//
//	az keyvault secret set --vault-name my-vault --name mlflow-auth --value '{"token":"…"}'
//
// # The right to grant
//
// The role Key Vault Secrets User on the secret, or, where the vault goes by
// access policies, the permission get:
//
//	az role assignment create --role "Key Vault Secrets User" --assignee ID --scope VAULT_ID/secrets/mlflow-auth
//	az keyvault set-policy --name my-vault --object-id ID --secret-permissions get
//
// # Logging in
//
// As DefaultAzureCredential does, from the environment, with the first of these
// that gives a token; that one is kept:
//
//   - EnvironmentCredential: AZURE_TENANT_ID and AZURE_CLIENT_ID with
//     AZURE_CLIENT_SECRET, or with AZURE_CLIENT_CERTIFICATE_PATH (and
//     AZURE_CLIENT_CERTIFICATE_PASSWORD, AZURE_CLIENT_SEND_CERTIFICATE_CHAIN);
//   - WorkloadIdentityCredential: AZURE_FEDERATED_TOKEN_FILE with both ids;
//   - ManagedIdentityCredential: the user-assigned identity of AZURE_CLIENT_ID, or
//     without it the system-assigned one;
//   - AzureCLICredential, AzureDeveloperCLICredential, AzurePowerShellCredential:
//     whoever is logged in there.
//
// AZURE_TOKEN_CREDENTIALS picks one of them by name, or dev or prod;
// AZURE_ADDITIONALLY_ALLOWED_TENANTS is obeyed. A credential that is set up and
// rejected ends the search: the next would be somebody else. Values are trimmed
// and an empty one counts as unset, in which this differs from the SDK. A username
// and password (AZURE_USERNAME) are not taken: Azure wants a second factor.
//
// A machine without a managed identity is noticed within a second.
//
// # Clouds
//
// The authority is AZURE_AUTHORITY_HOST, or that of the cloud in which the vault
// lies: vault.azure.net, vault.azure.cn (21Vianet), vault.usgovcloudapi.net (US
// Government). A vault elsewhere is refused, unless an authority outside these
// clouds is set. On the loopback interface there may be an emulator, also without
// TLS.
//
// Key Vault says which token it wants, and the SDK checks that this is one for Key
// Vault of the same domain before it sends any. Only for an emulator on the
// loopback interface is this check off.
//
// # When Azure fails
//
// Connection errors, 408, 429 and 5xx are tried again, [Config.MaxAttempts] in all
// for Key Vault and for the login each, at pauses from about 100 ms that double up
// to 2 s, within the context. A Retry-After is obeyed up to 2 s; a longer one ends
// the attempts, and [secretsauth.Error.RetryAfter] reports it. Redirects are not
// followed. When a token or a login is not accepted there is one new login, with
// the environment and files as they are then, and one more read.
//
// A secret that is disabled, expired or not yet valid is refused, by its own
// attributes too. A secret that is going to expire carries that time.
//
// What Azure says is never quoted: errors are built of names, the vault's address,
// times and Azure's codes. The SDK's logging is left as it is, and never told to
// log bodies; AZURE_SDK_GO_LOGGING=all makes it log the bodies of errors.
package azure
