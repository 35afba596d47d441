package config

import (
	"fmt"
	"iter"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// An image's name is that of what it belongs to, made legal. Nothing here
// holds a registry's address or a tag.

// RawImage names the base as it was imported: "debian-12/raw-iso" for a base
// called "debian-12/iso" or "debian-12".
func (b *Base) RawImage() string {
	return ImageName(strings.TrimSuffix(b.Name, "/iso"), "raw-iso")
}

// PreparedImage names the base as Dockerfile.base leaves it, before its own
// stages: [Base.Image] where there are none.
func (b *Base) PreparedImage() string {
	if len(b.Stages) == 0 {
		return b.Image()
	}
	return ImageName(strings.TrimSuffix(b.Name, "/iso"), "prepared-iso")
}

// Image names the base as masters start from it.
func (b *Base) Image() string { return ImageName(b.Name) }

// StageImage names what the base's stage i made.
func (b *Base) StageImage(i int) string { return stageImage(b.Image(), b.Stages, i) }

// Image names what the master's last stage made.
func (m *Master) Image() string { return ImageName(m.Name) }

// StageImage names what the master's stage i made: the master's image and the
// stage's file name, with -2, -3, … where a file name comes again.
func (m *Master) StageImage(i int) string { return stageImage(m.Image(), m.Stages, i) }

// HostImage names the image of one host of the master.
func (m *Master) HostImage(host string) string { return ImageName(m.Name, host) }

// HostStageImage names what stage i of [Master.HostStages] made for a host.
func (m *Master) HostStageImage(c *Config, host string, i int) string {
	return stageImage(m.HostImage(host), m.HostStages(c), i)
}

func stageImage(owner string, stages []Stage, i int) string {
	name := ImageName(stages[i].FileName())
	again := 0
	for _, earlier := range stages[:i] {
		if ImageName(earlier.FileName()) == name {
			again++
		}
	}
	if again > 0 {
		name = fmt.Sprintf("%s-%d", name, again+1)
	}
	return path.Join(owner, name)
}

var (
	illegal    = regexp.MustCompile(`[^a-z0-9._-]`)
	separators = regexp.MustCompile(`[._-]{2,}`)
)

// ImageName joins parts with "/" into a name that a registry takes: in lower
// case, with "-" for each illegal character and for illegal groups of
// separators, and none at either end. A part that leaves nothing becomes "x".
// Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests
func ImageName(parts ...string) string {
	elements := strings.Split(strings.Join(parts, "/"), "/")
	for i, element := range elements {
		element = illegal.ReplaceAllString(strings.ToLower(element), "-")
		element = separators.ReplaceAllStringFunc(element, func(group string) string {
			if group == "__" || strings.Trim(group, "-") == "" {
				return group
			}
			return "-"
		})
		element = strings.Trim(element, "._-")
		if element == "" {
			element = "x"
		}
		elements[i] = element
	}
	return strings.Join(elements, "/")
}

// An owner is what an image belongs to, in words.
type owner struct {
	what string
	pos  Position
}

// images yields the name of every image that the tree makes, hosts' aside.
func (c *Config) images() iter.Seq2[string, owner] {
	return func(yield func(string, owner) bool) {
		stages := func(of string, stages []Stage, image func(int) string) bool {
			for i, s := range stages {
				if !yield(image(i), owner{fmt.Sprintf("the stage %q of %q", s.Raw, of), s.Pos}) {
					return false
				}
			}
			return true
		}
		for _, b := range c.Bases {
			if !yield(b.RawImage(), owner{fmt.Sprintf("the untouched base %q", b.Name), b.Pos}) ||
				b.PreparedImage() != b.Image() && !yield(b.PreparedImage(), owner{fmt.Sprintf("the prepared base %q", b.Name), b.Pos}) ||
				!yield(b.Image(), owner{fmt.Sprintf("the base %q", b.Name), b.Pos}) ||
				!stages(b.Name, b.Stages, b.StageImage) {
				return
			}
		}
		for _, m := range c.Masters() {
			if !yield(m.Image(), owner{fmt.Sprintf("the master %q", m.Name), m.Pos}) ||
				!stages(m.Name, m.Stages, m.StageImage) {
				return
			}
		}
	}
}

// checkImages records each base, master or stage with an image whose name
// another has already.
func (r *reader) checkImages(c *Config) {
	owners := map[string]owner{}
	told := map[Position]bool{} // a base has two images
	for image, by := range c.images() {
		first, taken := owners[image]
		if !taken {
			owners[image] = by
		} else if !told[by.pos] {
			told[by.pos] = true
			r.addAt(by.pos, collision(image, by, first))
		}
	}
}

func collision(image string, by, first owner) Mistake {
	return Mistake{What: fmt.Sprintf("%s and %s (line %d) have the same image name", by.what, first.what, first.pos.Line),
		Why: fmt.Sprintf("both make %q, once lower-cased and without illegal characters", image),
		Do:  "rename one of the two"}
}

// CheckHosts refuses hosts of m, known once ansible has expanded its
// `conffs:`, whose images would bear the name of another image.
func (c *Config) CheckHosts(m *Master, hosts []string) error {
	owners := maps.Collect(c.images())
	for _, host := range slices.Sorted(slices.Values(hosts)) {
		by := owner{fmt.Sprintf("the host %q of %q", host, m.Name), m.Pos}
		image := m.HostImage(host)
		if first, taken := owners[image]; taken {
			return Error{File: c.Path, Pos: m.Pos, Mistake: collision(image, by, first)}
		}
		owners[image] = by
	}
	return nil
}
