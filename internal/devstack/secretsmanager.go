package devstack

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// SecretsManager is a stand-in for AWS Secrets Manager: GetSecretValue of the
// current version, in AWS's JSON protocol 1.1. It believes every signature.
type SecretsManager struct {
	*server

	mu      sync.Mutex
	secrets map[string]map[string]any // the answer, by name
	reads   int
}

// StartSecretsManager starts a stand-in without secrets.
func StartSecretsManager() (*SecretsManager, error) {
	m := &SecretsManager{secrets: make(map[string]map[string]any)}
	var err error
	m.server, err = serve(http.HandlerFunc(m.answer))
	return m, err
}

// Put stores a new version of a secret, as "aws secretsmanager put-secret-value" does.
func (m *SecretsManager) Put(name, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.secrets[name] = map[string]any{
		"ARN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:" + name + "-AbCdEf", "Name": name, "SecretString": value,
		"VersionId": "EXAMPLE1-" + rand.Text(), "VersionStages": []string{"AWSCURRENT"}, "CreatedDate": float64(time.Now().Unix()),
	}
}

// Reads is how often a secret was given out.
func (m *SecretsManager) Reads() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads
}

func (m *SecretsManager) answer(w http.ResponseWriter, r *http.Request) {
	var in struct {
		SecretID string `json:"SecretId"`
	}
	_ = json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in)
	refuse := func(kind, message string) {
		w.Header().Set("X-Amzn-Errortype", kind)
		awsAnswer(w, http.StatusBadRequest, map[string]string{"__type": kind, "Message": message})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	secret, there := m.secrets[in.SecretID]
	switch {
	case r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue":
		refuse("InvalidAction", "The stand-in knows GetSecretValue alone.")
	case r.Header.Get("Authorization") == "":
		refuse("MissingAuthenticationTokenException", "Missing Authentication Token")
	case !there:
		refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	default:
		m.reads++
		awsAnswer(w, http.StatusOK, secret)
	}
}

func awsAnswer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
