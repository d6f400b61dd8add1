// Package e2e runs the library against the servers that users run: OpenBao (the
// Vault API), MLflow with its basic-auth app, and nginx as a front door that
// wants a Bearer token. AWS is emulated by moto, and Azure by internal/devstack,
// for lack of a better one: where these differ from what AWS and Microsoft
// document, AWS and Microsoft are right.
//
// Its tests have the build tag e2e. "make e2e" fetches the servers, at the
// versions of versions.env, and runs them. Every server listens on loopback, on a
// port that the system chooses, and is stopped by the test that started it.
// Passwords and tokens are made anew for every run.
package e2e
