package proxy

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/mlflow-secrets-auth/secretsauth"
)

const namespace = "mlflow_secrets_auth"

// metrics are counts and times. No label holds a host, a path, a key or a secret,
// or a word that a client has chosen (S166).
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	refused  *prometheus.CounterVec
	inFlight prometheus.Gauge
	duration prometheus.Histogram
}

func newMetrics(t *secretsauth.Transport, provider string) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: "proxy", Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: counter("requests_total", "Requests answered, by method and class of status.", "method", "code"),
		refused:  counter("refused_total", "Requests of clients that were not passed on, by reason.", "reason"),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: "proxy", Name: "in_flight_requests", Help: "Requests under way.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: "proxy", Name: "request_duration_seconds", Help: "Time from a request's head to the end of its answer.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
		}),
	}
	m.registry.MustRegister(m.requests, m.refused, m.inFlight, m.duration,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newLibrary(t, provider))
	return m
}

var knownMethods = strings.Split(allowedMethods, ", ")

// done counts a request that has ended; status 0: it was broken off.
func (m *metrics) done(method string, status int, took time.Duration) {
	if !slices.Contains(knownMethods, method) {
		method = "other"
	}
	code := "aborted"
	if status != 0 {
		code = strconv.Itoa(status/100) + "xx"
	}
	m.requests.WithLabelValues(method, code).Inc()
	m.duration.Observe(took.Seconds())
}

// library tells the transport's own counts.
type library struct {
	transport *secretsauth.Transport
	counts    []count
	age       *prometheus.Desc
	end       *prometheus.Desc
}

type count struct {
	desc *prometheus.Desc
	of   func(secretsauth.Stats) uint64
}

func newLibrary(t *secretsauth.Transport, provider string) *library {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, nil, prometheus.Labels{"provider": provider})
	}
	return &library{
		transport: t,
		age:       desc("cache_age_seconds", "Age of the credential in use; absent while there is none."),
		end:       desc("credential_valid_until_timestamp_seconds", "When the credential in use ends by itself, in Unix time; absent if it does not say."),
		counts: []count{
			{desc("rejections_total", "Answers 401 and 403 to requests that carried the credential."), func(s secretsauth.Stats) uint64 { return s.Rejections }},
			{desc("retries_total", "Of those, the requests that were sent once more."), func(s secretsauth.Stats) uint64 { return s.Retries }},
			{desc("store_reads_total", "Reads of the store."), func(s secretsauth.Stats) uint64 { return s.Fetches }},
			{desc("store_read_errors_total", "Of those, the ones that failed."), func(s secretsauth.Stats) uint64 { return s.FetchErrors }},
			{desc("cache_hits_total", "Requests served the credential at once."), func(s secretsauth.Stats) uint64 { return s.Hits }},
			{desc("cache_misses_total", "Requests that waited for a read."), func(s secretsauth.Stats) uint64 { return s.Misses }},
			{desc("stale_served_total", "Times a credential was used past its TTL."), func(s secretsauth.Stats) uint64 { return s.StaleServed }},
		},
	}
}

func (l *library) Describe(to chan<- *prometheus.Desc) {
	to <- l.age
	to <- l.end
	for _, c := range l.counts {
		to <- c.desc
	}
}

func (l *library) Collect(to chan<- prometheus.Metric) {
	stats := l.transport.Stats()
	for _, c := range l.counts {
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(c.of(stats)))
	}
	if at := l.transport.CacheState().ReadAt; !at.IsZero() {
		to <- prometheus.MustNewConstMetric(l.age, prometheus.GaugeValue, time.Since(at).Seconds())
	}
	if end := stats.ValidUntil; !end.IsZero() {
		to <- prometheus.MustNewConstMetric(l.end, prometheus.GaugeValue, float64(end.Unix()))
	}
}
