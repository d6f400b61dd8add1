// Package aws reads an MLflow credential from AWS Secrets Manager.
//
//	store, err := aws.New(aws.Config{
//		Region:     "eu-central-1",
//		SecretName: "mlflow/auth",
//	})
//
// [ConfigFromEnv] reads the same from the environment. The secret is a JSON
// object with a field token, or with the fields username and password, or bare
// text; a binary secret is read as text.
//
// # The policy to grant
//
//	{
//	  "Effect": "Allow",
//	  "Action": "secretsmanager:GetSecretValue",
//	  "Resource": "arn:aws:secretsmanager:REGION:ACCOUNT:secret:mlflow/auth-??????"
//	}
//
// and kms:Decrypt on the key, where the secret is encrypted by one of your own. The
// command mlflow-secrets-auth doctor says more of a secret that is not found where it
// may use secretsmanager:ListSecrets, ListSecretVersionIds and DescribeSecret too.
//
// # Credentials and region
//
// Credentials come from the SDK's default chain: environment, shared files and
// profile, SSO, web identity, container and instance roles. [Config.RoleARN] is
// assumed with them. The region is that of the secret's ARN, or
// [Config.Region] (AWS_REGION, AWS_DEFAULT_REGION), or the profile's.
// AWS_ENDPOINT_URL, AWS_CA_BUNDLE, AWS_USE_FIPS_ENDPOINT and the like are
// honoured as the SDK reads them. The SDK takes its variables as they stand, spaces
// included: padded keys, tokens and file names are refused.
//
// Fields of a [Config] in code go before the environment; keys and the web identity
// of the environment go before AWS_PROFILE, as in the SDK.
//
// # When AWS fails
//
// Connection errors, throttling and 5xx are tried again, [Config.MaxAttempts] in
// all, at pauses from about 100 ms that double up to 2 s, or as long as AWS asks
// for, up to 2 s, within the context; so are answers cut short, and requests without
// an answer for 5 s. Getting credentials has as many attempts of its own.
//
// When AWS does not accept the credentials they are looked for anew, files
// included, and the secret is read once more. When no source gives any, the next
// read looks again. Redirects are not followed. What AWS says is never quoted:
// errors are built of names, the region and AWS's codes.
package aws
