// Package provenance is what an image says of how it was made: its labels,
// /imginfo, /packages, and the history that they hold.
package provenance

import "vauban/config"

// The labels of an image's configuration, and the annotations of its
// manifest, that say what made it.
const (
	LabelMaster   = "vauban.master"
	LabelHost     = "vauban.host"
	LabelStage    = "vauban.stage"
	LabelBranch   = "vauban.branch"
	LabelCommit   = "vauban.commit"
	LabelKey      = "vauban.key"
	LabelParent   = "vauban.parent"
	LabelVersion  = "vauban.version"
	LabelBase     = "vauban.base"        // the base's image name
	LabelBaseSize = "vauban.base.layers" // how many of the layers are the base's
	LabelImginfo  = "vauban.imginfo"     // the text of /imginfo
	LabelPackages = "vauban.packages"    // the text of /packages
	LabelTraces   = "vauban.traces"      // files with the builder's addresses or name
)

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
// parent's labels: the commit that stands next to a Dockerfile is that of a
// playbook below it and is left out.
func MadeBy(labels map[string]string) Made {
	m := Made{Master: labels[LabelMaster], Host: labels[LabelHost], Stage: labels[LabelStage]}
	if stage, err := config.ParseStage(m.Stage); err == nil && stage.Playbook != "" {
		m.Branch, m.Commit = labels[LabelBranch], labels[LabelCommit]
	}
	return m
}
