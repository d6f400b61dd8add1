//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
)

// motoServer emulates AWS Secrets Manager and STS.
type motoServer struct {
	url     string
	process *process
}

const (
	region  = "eu-central-1"
	roleARN = "arn:aws:iam::123456789012:role/mlflow-reader"
)

// newMoto starts a server that t has to itself, to stop it.
func newMoto(t *testing.T) *motoServer {
	t.Helper()
	m, err := startMoto(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.process.stop)
	return m
}

// startMoto puts into the environment, where AWS's SDK looks for them, the
// credentials to read with. moto takes any.
func startMoto(dir string) (*motoServer, error) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": canary.New(),
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	m := &motoServer{}
	err := onFreePort(func(port string) error {
		m.url = "http://127.0.0.1:" + port
		cmd := exec.Command(bin("moto", "moto_server"), "-H", "127.0.0.1", "-p", port)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(bin("moto", "moto_server"))+":"+os.Getenv("PATH"))
		var err error
		m.process, err = start(filepath.Join(dir, "moto.log"), cmd, answers(m.url+"/moto-api/", http.StatusOK))
		return err
	})
	return m, err
}

// awsSecret is one secret in moto.
type awsSecret struct {
	t    *testing.T
	moto *motoServer
	name string
	role string // to assume, or ""
}

// inMoto is a secret with a name of its own.
func inMoto(t *testing.T, m *motoServer, role string) awsSecret {
	return awsSecret{t: t, moto: m, name: "mlflow/" + rand.Text(), role: role}
}

func (s awsSecret) put(fields map[string]string) {
	s.t.Helper()
	text, err := json.Marshal(fields)
	if err != nil {
		s.t.Fatal(err)
	}
	s.putValue("SecretString", string(text))
}

// putValue stores a SecretString, or a SecretBinary as []byte.
func (s awsSecret) putValue(field string, value any) {
	s.t.Helper()
	if s.call("CreateSecret", map[string]any{"Name": s.name, field: value}) != nil {
		if err := s.call("PutSecretValue", map[string]any{"SecretId": s.name, field: value}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// call is one request of AWS's JSON protocol, without our library. moto reads the
// service and the region off the signature and does not verify it.
func (s awsSecret) call(action string, in map[string]any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, s.moto.url+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "secretsmanager."+action)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/"+region+"/secretsmanager/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("moto: %s: %s", action, resp.Status)
	}
	return nil
}

func (s awsSecret) config() aws.Config {
	return aws.Config{SecretName: s.name, Region: region, Endpoint: s.moto.url, RoleARN: s.role}
}

func (s awsSecret) provider() (secretsauth.Provider, error) { return aws.New(s.config()) }

func (s awsSecret) environ() map[string]string {
	return map[string]string{
		"MLFLOW_SECRETS_AUTH_ENABLE": "aws-secrets-manager",
		"MLFLOW_AWS_SECRET_NAME":     s.name,
		"AWS_REGION":                 region,
		"AWS_ENDPOINT_URL":           s.moto.url,
		"AWS_ROLE_ARN":               s.role,
	}
}
