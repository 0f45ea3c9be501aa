package demo

import (
	"context"
	"math/rand/v2"
)

// scenario is a kind of task that can be enacted.
type scenario struct {
	name string
	run  func(context.Context, *act) error
}

// orderly scenarios happen in every company, careless ones where they are possible.
var (
	orderlyScenarios = []scenario{
		{"release", release}, {"rollout", rollout}, {"review", review}, {"step-up", stepUp},
		{"cleanup", cleanup}, {"rotation", rotation}, {"overreach", overreach}, {"misdelivery", misdelivery},
	}
	carelessScenarios = []scenario{
		{"passthrough", passthrough}, {"widening", widening}, {"call-after-deny", callAfterDeny},
		{"call-without-decision", callWithoutDecision}, {"static-key", staticKey},
		{"after-the-end", afterTheEnd}, {"borrowed-token", borrowedToken},
	}
)

// carelessShare of globex's tasks go wrong when scenarios are drawn.
const carelessShare = 0.15

// casting is who enacts what.
type casting struct {
	tenant   *tenant
	scenario *scenario
	human    string
}

// round is every scenario once per human who can enact it, in an order drawn from rng.
func round(tenants []*tenant, rng *rand.Rand) []casting {
	var out []casting
	for _, t := range tenants {
		scenarios := orderlyScenarios
		if t.careless() {
			scenarios = append(scenarios[:len(scenarios):len(scenarios)], carelessScenarios...)
		}
		for i := range scenarios {
			for _, human := range t.company.humans {
				out = append(out, casting{t, &scenarios[i], human})
			}
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// draw picks the next casting.
func draw(tenants []*tenant, rng *rand.Rand) casting {
	t := tenants[rng.IntN(len(tenants))]
	from := orderlyScenarios
	if t.careless() && rng.Float64() < carelessShare {
		from = carelessScenarios
	}
	return casting{t, &from[rng.IntN(len(from))], t.company.humans[rng.IntN(len(t.company.humans))]}
}
