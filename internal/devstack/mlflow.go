package devstack

import (
	"net/http"
	"sync"
)

// MLflow is a stand-in for a tracking server started with
// "mlflow server --app-name basic-auth", with one user.
type MLflow struct {
	*server
	user string

	mu          sync.Mutex
	password    string
	refused     int
	experiments []*experiment
	runs        map[string]*run
}

// StartMLflow starts a stand-in that accepts user and password.
func StartMLflow(user, password string) (*MLflow, error) {
	m := &MLflow{user: user, password: password, runs: make(map[string]*run)}
	const api = "/api/2.0/mlflow"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("OK")) })
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8") // so says MLflow
		_, _ = w.Write([]byte("3.18.0"))
	})
	mux.HandleFunc("POST "+api+"/experiments/create", m.createExperiment)
	mux.HandleFunc(api+"/experiments/search", m.searchExperiments)
	mux.HandleFunc("POST "+api+"/runs/create", m.createRun)
	mux.HandleFunc("GET "+api+"/runs/get", m.getRun)
	mux.HandleFunc("POST "+api+"/runs/update", m.updateRun)
	mux.HandleFunc("POST "+api+"/runs/log-metric", m.logMetric)
	mux.HandleFunc("POST "+api+"/runs/log-parameter", m.logParameter)
	mux.HandleFunc("POST "+api+"/runs/log-batch", m.logBatch)
	// Not MLflow's: what a front door that moves requests elsewhere does.
	mux.HandleFunc("GET /moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	})
	var err error
	m.server, err = serve(m.authenticated(mux))
	return m, err
}

// Rotate changes the password. The old one is refused from then on.
func (m *MLflow) Rotate(password string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.password = password
}

// Refused is how many requests were answered 401.
func (m *MLflow) Refused() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}

// authenticated answers what basic-auth answers, down to its text, which claims
// to be HTML.
func (m *MLflow) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" || m.knows(r) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("WWW-Authenticate", `Basic realm="mlflow"`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte("You are not authenticated. Please see https://www.mlflow.org/docs/latest/auth/index.html" +
			"#authenticating-to-mlflow on how to authenticate."))
	})
}

func (m *MLflow) knows(r *http.Request) bool {
	user, password, _ := r.BasicAuth()
	m.mu.Lock()
	defer m.mu.Unlock()
	if user == m.user && password == m.password {
		return true
	}
	m.refused++
	return false
}
