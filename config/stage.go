package config

import (
	"fmt"
	"path"
	"strings"
)

// A Stage is one layer of an image: a playbook to apply, or a Dockerfile to
// execute. Exactly one of Playbook and Dockerfile is set.
type Stage struct {
	Raw        string // as it was written
	Branch     string // what stands before the "@", "" when nothing does
	Playbook   string // relative to ANSIBLE_ROOT_DIR in the playbook repository
	Dockerfile string // relative to config.yml
	// Init is "systemd" when the stage, or the master that declares it, wants
	// systemd for process 1; "" is vauban's own small init.
	Init string
	// MasterBranch is the `branch:` of the base or master that declares the
	// stage, "" when that has none. See RunBranch.
	MasterBranch string
	Pos          Position
}

// RunBranch is the branch of the playbook repository to run the stage at,
// where cliBranch is what the command line asks for. "" is the repository's
// default branch.
func (s Stage) RunBranch(cliBranch string) string {
	switch {
	case s.Branch != "":
		return s.Branch
	case cliBranch != "":
		return cliBranch
	}
	return s.MasterBranch
}

// FileName is the stage's file without its folder, which names its image.
func (s Stage) FileName() string {
	return path.Base(s.Playbook + s.Dockerfile)
}

// matches reports whether the stage is the one that pattern, a stage of
// `configuration:`, means. A pattern without a branch means every branch.
func (s Stage) matches(pattern Stage) bool {
	return s.Playbook == pattern.Playbook && s.Dockerfile == pattern.Dockerfile &&
		(pattern.Branch == "" || s.Branch == pattern.Branch)
}

// ParseStage reads `[branch@]PATH.yml` or `Dockerfile:PATH`. The error is a
// [Mistake].
func ParseStage(text string) (Stage, error) {
	stage := Stage{Raw: text}
	if file, isDockerfile := strings.CutPrefix(text, "Dockerfile:"); isDockerfile {
		stage.Dockerfile = path.Clean(file)
		return stage, checkPath("a stage's Dockerfile", file)
	}
	playbook := text
	// The last "@" divides: git allows it in a branch, and playbooks that
	// have one in their path are rarer than that.
	if at := strings.LastIndex(text, "@"); at >= 0 {
		stage.Branch, playbook = text[:at], text[at+1:]
		if err := CheckBranch(stage.Branch); err != nil {
			return Stage{}, err
		}
	}
	name := path.Base(playbook)
	if ext := path.Ext(name); ext != ".yml" && ext != ".yaml" || ext == name || strings.HasPrefix(playbook, "Dockerfile:") {
		return Stage{}, Mistake{What: fmt.Sprintf("%q is not a stage", text),
			Why: "a stage is a playbook, ending in .yml or .yaml, or a Dockerfile",
			Do:  "write [BRANCH@]PATH.yml or Dockerfile:PATH"}
	}
	stage.Playbook = path.Clean(playbook)
	return stage, checkPath("a stage's playbook", playbook)
}

// checkPath accepts a relative path, called label, that stays below where it
// starts, and that no program takes for an option.
func checkPath(label, file string) error {
	mistake := Mistake{What: fmt.Sprintf("%s is %q", label, file)}
	switch {
	case path.Clean(file) == "." || strings.HasSuffix(file, "/"):
		mistake.Why, mistake.Do = "it must name a file", "write its path"
	case strings.ContainsFunc(file, isControl) || strings.TrimSpace(file) != file:
		mistake.Why, mistake.Do = "a path here has no control characters and no spaces around it", "rename the file"
	case strings.HasPrefix(path.Clean(file), "-"):
		mistake.Why, mistake.Do = `a leading "-" reads as an option`, "rename the file"
	case path.IsAbs(file), hasElement(file, ".."):
		mistake.Why = "it leaves the folder that it is relative to"
		mistake.Do = `write a path without ".." that does not begin with "/"`
	default:
		return nil
	}
	return mistake
}

func hasElement(file, element string) bool {
	return strings.Contains("/"+file+"/", "/"+element+"/")
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// CheckBranch accepts what git accepts for a branch's name.
// Source: git-check-ref-format(1), with --branch.
func CheckBranch(branch string) error {
	mistake := Mistake{What: fmt.Sprintf("%q is not the name of a git branch", branch), Do: "correct the name"}
	bad := func(r rune) bool { return isControl(r) || strings.ContainsRune(` ~^:?*[\`, r) }
	switch {
	case branch == "":
		mistake.Why, mistake.Do = "it is empty", `write one or remove the "@"`
	case strings.HasPrefix(branch, "-"):
		mistake.Why = `a leading "-" reads as an option`
	case strings.ContainsFunc(branch, bad):
		mistake.Why = `git allows no spaces, control characters, or any of ~ ^ : ? * [ \ in it`
	case strings.Contains(branch, ".."), strings.Contains(branch, "@{"), branch == "@", branch == "HEAD":
		mistake.Why = `".." and "@{" mean something else to git, as do the names "@" and "HEAD"`
	case strings.HasSuffix(branch, "."), hasBadElement(branch):
		mistake.Why = `between two "/" there must be a name that neither begins nor ends with "." nor ends with ".lock"`
	default:
		return nil
	}
	return mistake
}

func hasBadElement(branch string) bool {
	for element := range strings.SplitSeq(branch, "/") {
		if element == "" || strings.HasPrefix(element, ".") || strings.HasSuffix(element, ".lock") {
			return true
		}
	}
	return false
}
