// Package e2e runs the library against the servers that users run: OpenBao (the
// Vault API), MLflow with its basic-auth app, and nginx as a front door that
// wants a Bearer token; and against moto, which emulates AWS: where it differs
// from what AWS documents, AWS is right.
//
// Its tests have the build tag e2e. "make e2e" fetches the servers, at the
// versions of versions.env, and runs them. Every server listens on loopback, on a
// port that the system chooses, and is stopped by the test that started it.
// Passwords and tokens are made anew for every run.
package e2e
