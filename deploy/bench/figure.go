package bench

import (
	"context"
	"math"
	"slices"
)

// Figure is one line of the answer. Where RatioTo names something, Ratio is to
// that and Target is of the ratio; else Target is of the value.
type Figure struct {
	Name    string   `json:"name"`
	Value   float64  `json:"value"`
	Unit    string   `json:"unit"`
	Target  *float64 `json:"target"` // nil: none is set
	RatioTo *string  `json:"ratio_to"`
	Ratio   *float64 `json:"ratio"`
}

// Names of the contenders.
const (
	nameBare     = "bare"
	nameCustody  = "custody"
	nameOtel     = "otelcol"
	nameOtelBody = "otelcol-body"
)

func absolute(name string, value float64, unit string, target float64) Figure {
	return Figure{Name: name, Value: round(value), Unit: unit, Target: &target}
}

func relative(name string, value float64, unit string, target *float64, to string, ratio float64) Figure {
	ratio = round(ratio)
	return Figure{Name: name, Value: round(value), Unit: unit, Target: target, RatioTo: &to, Ratio: &ratio}
}

// round leaves what a measurement is worth.
func round(v float64) float64 { return math.Round(v*1000) / 1000 }

// median of what f gives for each sample.
func median(samples []*sample, f func(*sample) float64) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, f(s))
	}
	return middle(values)
}

func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[n/2] + values[(n-1)/2]) / 2
}

// ratio is the median over the rounds of f of a to f of b in the same round.
func ratio(a, b []*sample, f func(*sample) float64) float64 {
	var values []float64
	for i := range a {
		values = append(values, f(a[i])/f(b[i]))
	}
	return middle(values)
}

func rate(s *sample) float64         { return s.rate }
func perCPU(s *sample) float64       { return float64(s.events) / s.cpu.Seconds() }
func cpuPerEvent(s *sample) float64  { return s.perEvent(s.cpu) }
func intentMillis(s *sample) float64 { return s.intent.Seconds() * 1e3 }

// perPipelineCPU counts ClickHouse's time too.
func perPipelineCPU(s *sample) float64 {
	return float64(s.events) / (s.cpu + s.clickhouse).Seconds()
}

// figures are what the turns give, and the seal on its own.
func (r *runner) figures(ctx context.Context, samples map[string][]*sample) ([]Figure, error) {
	custody, bare := samples[nameCustody], samples[nameBare]
	target := func(t float64) *float64 { return &t }
	figures := []Figure{
		absolute("processor_cpu", median(custody, cpuPerEvent), "us/event", 5),
		relative("end_to_end_vs_bare", median(custody, rate), "events/s", target(0.7), nameBare, ratio(custody, bare, rate)),
		relative("pipeline_cpu_vs_bare", median(custody, perPipelineCPU), "events/cpu-s", nil, nameBare, ratio(custody, bare, perPipelineCPU)),
	}
	for _, name := range []string{nameOtel, nameOtelBody} {
		otel := samples[name]
		if len(otel) == 0 {
			continue
		}
		suffix, want := "", target(6)
		if name == nameOtelBody {
			suffix, want = "_body", nil
		}
		figures = append(figures,
			relative("cpu_vs_otel_collector"+suffix, median(custody, perCPU), "events/cpu-s", want, name, ratio(custody, otel, perCPU)),
			relative("pipeline_cpu_vs_otel_collector"+suffix, median(custody, perPipelineCPU), "events/cpu-s", nil, name, ratio(custody, otel, perPipelineCPU)))
	}
	var rss int64
	for _, s := range custody {
		rss = max(rss, s.rss)
	}
	nodes, err := r.sealBytes(ctx)
	return append(figures,
		absolute("seal_cpu", r.seal(), "us/event", 1), absolute("seal_bytes", nodes, "B/event", 0.3),
		absolute("intent_commit", median(custody, intentMillis), "ms/block", 5),
		absolute("rss", float64(rss)/(1<<20), "MiB", 512)), err
}
