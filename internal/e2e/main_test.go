//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/internal/devstack"
)

// The servers are shared by all tests, each with users, mounts and
// policies of its own: they take long to start.
var (
	mlflow   *mlflowServer
	openbao  *openBao
	moto     *motoServer
	keyVault *devstack.KeyVault
)

func TestMain(m *testing.M) {
	if upstream := os.Getenv(bareProxyEnv); upstream != "" {
		bareProxy(upstream)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "secretsauth-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)

	// The servers are no part of the terminal's process group: Ctrl-C would leave
	// them behind.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		stopAll()
		_ = os.RemoveAll(dir)
		os.Exit(1)
	}()

	defer stopAll()
	if err := startAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := canary.Net(m).Run()
	for _, p := range []*process{mlflow.process, openbao.process, moto.process} {
		p.stop()
	}
	keyVault.Close()
	if left := stopAll(); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "a test has left behind:", left)
		return 1
	}
	return code
}

func startAll(dir string) (err error) {
	baoDir := filepath.Join(dir, "openbao")
	if err := os.Mkdir(baoDir, 0o700); err != nil {
		return err
	}
	if mlflow, err = startMLflow(dir); err != nil {
		return err
	}
	if openbao, err = startOpenBao(baoDir); err != nil {
		return err
	}
	if moto, err = startMoto(dir); err != nil {
		return err
	}
	if keyVault, err = startKeyVault(); err != nil {
		return err
	}
	return buildProgram(dir)
}
