package aws_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mlflow-secrets-auth/secretsauth"
	"github.com/mlflow-secrets-auth/secretsauth/internal/canary"
	"github.com/mlflow-secrets-auth/secretsauth/providers/aws"
)

// TestMain gives every test the same AWS environment, and none of the machine's.
func TestMain(m *testing.M) {
	for _, name := range os.Environ() {
		if name, _, _ := strings.Cut(name, "="); strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "MLFLOW_") {
			_ = os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": keyOfTheTests,
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		_ = os.Setenv(name, value)
	}
	os.Exit(canary.Net(m).Run())
}

// What the tests log in with, besides what they are about.
var keyOfTheTests, keyOfRoles, sessions = canary.New(), canary.New(), canary.New()

// session is the token of the n-th session that STS has given.
func session(n int) string { return sessions + strconv.Itoa(n) }

// standin answers as Secrets Manager and STS do: AWS JSON 1.1 and the query
// protocol. The texts are AWS's own, as documented and as moto gives them.
type standin struct {
	t *testing.T

	mu     sync.Mutex
	value  map[string]any // of GetSecretValue; nil: there is none
	fail   *failure       // in place of an answer
	sts    *failure       // in place of AssumeRole's
	reads  int
	roles  []url.Values // AssumeRole requests
	asked  []map[string]string
	tokens []string // session tokens of the reads
	reject string   // an access key that is not, or no longer, accepted
	hangs  int      // how many AssumeRole requests get no answer

	identity *failure // in place of GetCallerIdentity's answer
	caller   string   // ARN
	looks             // what is there besides the value
}

type failure struct {
	status     int
	code, text string
	times      int // 0: always
	retryAfter string
}

const (
	notFoundText = "Secrets Manager can't find the specified secret."
	stageText    = "Secrets Manager can't find the specified secret value for staging label: AWSOLD"
	deletedText  = "You can't perform this operation on the secret because it was marked for deletion."
	deniedText   = "User: arn:aws:iam::123456789012:user/trainer is not authorized to perform: secretsmanager:GetSecretValue on resource: mlflow/auth because no identity-based policy allows the secretsmanager:GetSecretValue action"
	kmsText      = "Access to KMS is not allowed"
)

func newStandin(t *testing.T) (*standin, string) {
	s := &standin{t: t}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

func (s *standin) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.Header.Get("X-Amz-Target") == "" {
		if s.hangs > 0 {
			s.hangs--
			s.mu.Unlock()
			<-req.Context().Done()
			s.mu.Lock()
			return
		}
		s.assumeRole(w, string(body))
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if action := strings.TrimPrefix(req.Header.Get("X-Amz-Target"), "secretsmanager."); action != "GetSecretValue" {
		s.look(w, req, action, body)
		return
	}
	s.reads++
	s.tokens = append(s.tokens, req.Header.Get("X-Amz-Security-Token"))
	var in map[string]string
	if err := json.Unmarshal(body, &in); err != nil {
		s.t.Errorf("an unexpected request: %v", err)
	}
	s.asked = append(s.asked, in)
	f := s.take(&s.fail)
	if s.reject != "" && strings.Contains(req.Header.Get("Authorization"), "Credential="+s.reject+"/") {
		f = &failure{status: http.StatusBadRequest, code: "UnrecognizedClientException", text: "The security token included in the request is invalid."}
	}
	if f == nil && s.value == nil {
		f = &failure{status: http.StatusBadRequest, code: "ResourceNotFoundException", text: notFoundText}
	}
	if f != nil {
		f.inJSON(w)
		return
	}
	_ = json.NewEncoder(w).Encode(s.value)
}

// take returns the failure that is due, as often as it is to happen.
func (s *standin) take(f **failure) *failure {
	due := *f
	if due != nil && due.times > 0 {
		if due.times--; due.times == 0 {
			*f = nil
		}
	}
	return due
}

func (f *failure) header(w http.ResponseWriter) {
	if f.retryAfter != "" {
		w.Header().Set("Retry-After", f.retryAfter)
	}
	w.WriteHeader(f.status)
}

func (f *failure) inJSON(w http.ResponseWriter) {
	f.header(w)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": f.code, "Message": f.text})
}

func (f *failure) inXML(w http.ResponseWriter) {
	f.header(w)
	_, _ = fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, f.code, f.text)
}

func (s *standin) assumeRole(w http.ResponseWriter, body string) {
	form, err := url.ParseQuery(body)
	action := form.Get("Action")
	if action == "GetCallerIdentity" {
		s.identify(w)
		return
	}
	if err != nil || action != "AssumeRole" && action != "AssumeRoleWithWebIdentity" {
		s.t.Errorf("an unexpected request: %q", action)
	}
	s.roles = append(s.roles, form)
	w.Header().Set("Content-Type", "text/xml")
	if f := s.take(&s.sts); f != nil {
		f.inXML(w)
		return
	}
	_, _ = fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials>
<AccessKeyId>ASIAROLE%[2]d</AccessKeyId><SecretAccessKey>%[3]s</SecretAccessKey><SessionToken>%[4]s</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>
</Credentials></%[1]sResult></%[1]sResponse>`, action, len(s.roles), keyOfRoles, session(len(s.roles)))
}

func (s *standin) set(change func(*standin)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *standin) putText(text string) {
	s.set(func(s *standin) { s.value = map[string]any{"Name": "mlflow/auth", "SecretString": text} })
}

func (s *standin) putBinary(b []byte) {
	s.set(func(s *standin) {
		s.value = map[string]any{"Name": "mlflow/auth", "SecretBinary": base64.StdEncoding.EncodeToString(b)}
	})
}

// provider is one for the stand-in.
func provider(t *testing.T, endpoint string, change ...func(*aws.Config)) netted {
	t.Helper()
	cfg := aws.Config{SecretName: "mlflow/auth", Region: "eu-central-1", Endpoint: endpoint}
	for _, c := range change {
		c(&cfg)
	}
	p, err := aws.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return netted{p}
}

// netted is a Provider with the leak net beneath it.
type netted struct{ *aws.Provider }

func (n netted) Fetch(ctx context.Context) (secretsauth.Secret, error) {
	secret, err := n.Provider.Fetch(ctx)
	canary.KeepRead(n.Provider, secret, err)
	return secret, err
}
