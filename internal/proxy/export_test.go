package proxy

import (
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// Metric is the sum of the metrics whose name ends like this.
func (p *Proxy) Metric(name string) (sum float64) {
	families, _ := p.metrics.registry.Gather()
	for _, f := range families {
		if !strings.HasSuffix(f.GetName(), name) {
			continue
		}
		for _, m := range f.GetMetric() {
			switch f.GetType() {
			case dto.MetricType_GAUGE:
				sum += m.GetGauge().GetValue()
			case dto.MetricType_COUNTER:
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
