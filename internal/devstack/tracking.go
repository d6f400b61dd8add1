package devstack

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Metrics are all that was logged to a run, in the order of arrival.
func (m *MLflow) Metrics(runID string) []Metric {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.runs[runID]; r != nil {
		return slices.Clone(r.metrics)
	}
	return nil
}

func (m *MLflow) createExperiment(w http.ResponseWriter, r *http.Request) {
	var in struct{ Name string }
	if !decode(w, r, &in) {
		return
	}
	if in.Name == "" {
		missing(w, "name")
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.experiments {
		if e.Name == in.Name {
			mlflowError(w, http.StatusBadRequest, "RESOURCE_ALREADY_EXISTS", fmt.Sprintf("Experiment(name=%s) already exists.", in.Name))
			return
		}
	}
	now := time.Now().UnixMilli()
	e := &experiment{strconv.Itoa(len(m.experiments) + 1), in.Name, "active", now, now}
	m.experiments = append(m.experiments, e)
	answer(w, http.StatusOK, map[string]string{"experiment_id": e.ID})
}

// searchExperiments knows no filters.
func (m *MLflow) searchExperiments(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := slices.Clone(m.experiments)
	slices.Reverse(found) // the latest first
	answer(w, http.StatusOK, map[string]any{"experiments": append([]*experiment{}, found...)})
}

func (m *MLflow) createRun(w http.ResponseWriter, r *http.Request) {
	var in struct {
		ExperimentID string `json:"experiment_id"`
		Name         string `json:"run_name"`
		StartTime    int64  `json:"start_time"`
		Tags         []pair `json:"tags"`
	}
	if !decode(w, r, &in) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.ContainsFunc(m.experiments, func(e *experiment) bool { return e.ID == in.ExperimentID }) {
		notFound(w, fmt.Sprintf("No Experiment with id=%s exists", in.ExperimentID))
		return
	}
	id := strings.ToLower(rand.Text())
	created := &run{
		info: runInfo{
			ID: id, UUID: id, ExperimentID: in.ExperimentID, Name: in.Name,
			Status: "RUNNING", StartTime: in.StartTime, LifecycleStage: "active",
		},
		params: make(map[string]string),
		tags:   append(in.Tags, pair{"mlflow.runName", in.Name}),
	}
	m.runs[id] = created
	answer(w, http.StatusOK, map[string]any{"run": created.describe()})
}

func (m *MLflow) getRun(w http.ResponseWriter, r *http.Request) {
	m.withRun(w, r.URL.Query().Get("run_id"), func(found *run) {
		answer(w, http.StatusOK, map[string]any{"run": found.describe()})
	})
}

func (m *MLflow) updateRun(w http.ResponseWriter, r *http.Request) {
	var in struct {
		RunID   string `json:"run_id"`
		Status  string `json:"status"`
		EndTime int64  `json:"end_time"`
	}
	if !decode(w, r, &in) {
		return
	}
	m.withRun(w, in.RunID, func(found *run) {
		found.info.Status, found.info.EndTime = in.Status, in.EndTime
		answer(w, http.StatusOK, map[string]any{"run_info": found.info})
	})
}

func (m *MLflow) logMetric(w http.ResponseWriter, r *http.Request) {
	var in struct {
		RunID string `json:"run_id"`
		Metric
	}
	if !decode(w, r, &in) {
		return
	}
	m.log(w, in.RunID, []Metric{in.Metric}, nil)
}

func (m *MLflow) logParameter(w http.ResponseWriter, r *http.Request) {
	var in struct {
		RunID string `json:"run_id"`
		pair
	}
	if !decode(w, r, &in) {
		return
	}
	m.log(w, in.RunID, nil, []pair{in.pair})
}

func (m *MLflow) logBatch(w http.ResponseWriter, r *http.Request) {
	var in struct {
		RunID   string   `json:"run_id"`
		Metrics []Metric `json:"metrics"`
		Params  []pair   `json:"params"`
	}
	if !decode(w, r, &in) {
		return
	}
	m.log(w, in.RunID, in.Metrics, in.Params)
}

// log keeps all of it or, if a parameter would change its value, nothing.
func (m *MLflow) log(w http.ResponseWriter, runID string, metrics []Metric, params []pair) {
	m.withRun(w, runID, func(found *run) {
		for _, p := range params {
			if old, logged := found.params[p.Key]; logged && old != p.Value {
				mlflowError(w, http.StatusBadRequest, "INVALID_PARAMETER_VALUE", fmt.Sprintf(
					"Changing param values is not allowed. Param with key='%s' was already logged with value='%s' for run ID='%s'. "+
						"Attempted logging new value '%s'.", p.Key, old, runID, p.Value))
				return
			}
		}
		for _, p := range params {
			found.params[p.Key] = p.Value
		}
		found.metrics = append(found.metrics, metrics...)
		answer(w, http.StatusOK, struct{}{})
	})
}

// withRun calls f, under the lock, with the run that was asked for.
func (m *MLflow) withRun(w http.ResponseWriter, id string, f func(*run)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if found := m.runs[id]; found != nil {
		f(found)
		return
	}
	notFound(w, fmt.Sprintf("Run with id=%s not found", id))
}

func decode(w http.ResponseWriter, r *http.Request, in any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(in); err != nil {
		mlflowError(w, http.StatusBadRequest, "BAD_REQUEST", "The request body is not the JSON that was expected")
		return false
	}
	return true
}

func missing(w http.ResponseWriter, parameter string) {
	mlflowError(w, http.StatusBadRequest, "INVALID_PARAMETER_VALUE", fmt.Sprintf(
		"Missing value for required parameter '%s'. See the API docs for more information about request parameters.", parameter))
}

func notFound(w http.ResponseWriter, message string) {
	mlflowError(w, http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", message)
}

func mlflowError(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]string{"error_code": code, "message": message})
}
