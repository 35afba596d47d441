package pipeline

import (
	"fmt"

	"vauban/config"
	"vauban/pipeline/plan"
	"vauban/release"
)

// NewPlan plans requests, of masters whose names the published tree can have.
func NewPlan(cfg *config.Config, requests ...plan.Request) (*plan.Plan, error) {
	p, err := plan.New(cfg, requests...)
	if err != nil {
		return nil, err
	}
	return p, checkMasters(cfg, p)
}

// checkMasters refuses masters whose names the published tree cannot have.
func checkMasters(cfg *config.Config, p *plan.Plan) error {
	for _, t := range p.Tasks {
		if t.Kind != plan.MakeRelease {
			continue
		}
		if err := release.CheckMaster(t.Master.Name); err != nil {
			return fmt.Errorf("%s: %w", cfg.Place(t.Master.Pos), err)
		}
	}
	return nil
}
