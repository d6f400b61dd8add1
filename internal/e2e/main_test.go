//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The servers are shared by all tests, each with users, mounts and
// policies of its own: they take long to start.
var (
	mlflow  *mlflowServer
	openbao *openBao
	moto    *motoServer
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "secretsauth-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if mlflow, err = startMLflow(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer mlflow.process.stop()
	baoDir := filepath.Join(dir, "openbao")
	if err := os.Mkdir(baoDir, 0o700); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if openbao, err = startOpenBao(baoDir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer openbao.stop()
	if moto, err = startMoto(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer moto.process.stop()
	return m.Run()
}
