package build

import "vauban/config"

// Made is what the labels of an image say of the step that made it. What is
// not known is empty.
type Made struct {
	Master string `json:"master,omitempty"`
	Host   string `json:"host,omitempty"` // of an image of a host
	Stage  string `json:"stage,omitempty"`
	Branch string `json:"branch,omitempty"` // of the playbook
	Commit string `json:"commit,omitempty"`
}

// MadeBy reads the labels of an image's configuration. An image inherits its
// parent's labels: the commit that stands beside a Dockerfile is that of a
// playbook below it and is left out.
func MadeBy(labels map[string]string) Made {
	m := Made{Master: labels[labelMaster], Host: labels[labelHost], Stage: labels[labelStage]}
	if stage, err := config.ParseStage(m.Stage); err == nil && stage.Playbook != "" {
		m.Branch, m.Commit = labels[labelBranch], labels[labelCommit]
	}
	return m
}
