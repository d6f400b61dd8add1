package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

// startMLflow starts a server with one user, who is its administrator.
func startMLflow(dir, program, password string) (address string, stop func(), err error) {
	address, err = freeAddress()
	if err != nil {
		return "", nil, err
	}
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command(program, "server", "--app-name", "basic-auth", "--workers", "1", "--host", "127.0.0.1", "--port", port,
		"--backend-store-uri", "sqlite:///"+filepath.Join(dir, "mlflow.db"), "--artifacts-destination", filepath.Join(dir, "artifacts"))
	cmd.Dir = dir
	cmd.Env = environ(dir, "MLFLOW_FLASK_SERVER_SECRET_KEY="+rand.Text(), "MLFLOW_AUTH_ADMIN_PASSWORD="+password,
		"MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true")
	cmd.Env[0] = "PATH=" + filepath.Dir(program) + ":" + os.Getenv("PATH")
	stop, err = serve(cmd, filepath.Join(dir, "mlflow.log"), "http://"+address+"/health")
	return "http://" + address, stop, err
}

// startOpenBao starts a server that keeps the password of MLflow's administrator.
func startOpenBao(dir, program, token, password string) (address string, stop func(), err error) {
	address, err = freeAddress()
	if err != nil {
		return "", nil, err
	}
	body, err := json.Marshal(map[string]any{"data": map[string]string{"username": "admin", "password": password}})
	if err != nil {
		return "", nil, err
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+address+"/v1/secret/data/mlflow/auth", bytes.NewReader(body))
	if err != nil {
		return "", nil, err
	}
	req.Header.Set("X-Vault-Token", token)
	cmd := exec.Command(program, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+token, "-dev-listen-address="+address)
	cmd.Env = environ(dir)
	if stop, err = serve(cmd, filepath.Join(dir, "bao.log"), "http://"+address+"/v1/sys/health"); err != nil {
		return "", nil, err
	}
	status, err := get(http.DefaultClient, req)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("OpenBao does not store the secret: status %d", status)
	}
	if err != nil {
		stop()
	}
	return "http://" + address, stop, err
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
