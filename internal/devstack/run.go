package devstack

import (
	"maps"
	"slices"
)

type experiment struct {
	ID             string `json:"experiment_id"`
	Name           string `json:"name"`
	LifecycleStage string `json:"lifecycle_stage"`
	CreationTime   int64  `json:"creation_time"`
	LastUpdateTime int64  `json:"last_update_time"`
}

type run struct {
	info    runInfo
	metrics []Metric
	params  map[string]string
	tags    []pair
}

type runInfo struct {
	ID             string `json:"run_id"`
	UUID           string `json:"run_uuid"`
	ExperimentID   string `json:"experiment_id"`
	Name           string `json:"run_name"`
	UserID         string `json:"user_id"`
	Status         string `json:"status"`
	StartTime      int64  `json:"start_time"`
	EndTime        int64  `json:"end_time,omitempty"`
	LifecycleStage string `json:"lifecycle_stage"`
}

// Metric is one logged value of a metric.
type Metric struct {
	Key       string  `json:"key"`
	Value     float64 `json:"value"`
	Timestamp int64   `json:"timestamp"`
	Step      int64   `json:"step"`
}

type pair struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// describe is the run as MLflow shows it: of each metric the latest value.
func (r *run) describe() map[string]any {
	latest := make(map[string]Metric)
	for _, metric := range r.metrics {
		if old, seen := latest[metric.Key]; !seen || metric.Step >= old.Step {
			latest[metric.Key] = metric
		}
	}
	metrics := make([]Metric, 0, len(latest))
	for _, key := range slices.Sorted(maps.Keys(latest)) {
		metrics = append(metrics, latest[key])
	}
	params := make([]pair, 0, len(r.params))
	for _, key := range slices.Sorted(maps.Keys(r.params)) {
		params = append(params, pair{key, r.params[key]})
	}
	return map[string]any{
		"info": r.info,
		"data": map[string]any{"metrics": metrics, "params": params, "tags": r.tags},
	}
}
