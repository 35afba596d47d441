// Package freshness decides from records whether a base, a master or a host would
// be built differently today.
package freshness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"

	"vauban/layers/dockerfile"
	"vauban/release"

	dockerfiles "vauban/Dockerfiles"
	"vauban/ansible"
	"vauban/ansible/repository"
	"vauban/config"
	"vauban/internal/text"
	"vauban/pipeline/bases"
	"vauban/pipeline/plan"
	"vauban/pipeline/recipes"
)

// Judge shows which bases, masters and hosts would come out otherwise today,
// from records alone: it starts no container and needs no engine.
type Judge struct {
	Config  *config.Config
	Records *Records
	// Ansible may be nil when no stage is a playbook.
	Ansible *ansible.Controller
	// Branch is what --branch says.
	Branch string
	// Identities reports whether hosts get SSH keys of a vault.
	Identities bool
	// UploadDir is the published tree.
	UploadDir string
	// Withheld are the files that no build context has: see gate.Files.
	Withheld []dockerfile.Withheld
	// Publishing is set when what is not published is to be built again, as
	// only a run that makes a conffs publishes it.
	Publishing bool
	// Push lets other machines know what was found of an inventory.
	Push bool
	// Upstream reports whether sources of bases name something else by now. Nil:
	// nobody asks.
	Upstream bases.Upstream
	Now      time.Time

	mu      sync.Mutex
	hosts   map[string]map[string][]string // by commit and master
	others  map[string][]string            // of the whole inventory, by commit
	recipes map[[2]string]digest.Digest    // of the initramfs, by base and kernel
}

// Load reads what is needed for all of the tree at once.
func (j *Judge) Load(ctx context.Context) error {
	var images []string
	for _, b := range j.Config.Bases {
		images = append(images, b.Image())
	}
	for _, m := range j.Config.Masters() {
		images = append(images, m.Image())
	}
	return j.Records.Load(ctx, images...)
}

// Base judges a base.
func (j *Judge) Base(ctx context.Context, b *config.Base) (plan.Verdict, error) {
	record, why, err := j.image(ctx, b.Image())
	if err != nil || record == nil {
		return plan.Verdict{Why: why}, err
	}
	if age := j.Now.Sub(record.Made); b.MaxAge > 0 && age > b.MaxAge {
		why = append(why, fmt.Sprintf("it is %s old, and `max_age` is %s", units.HumanDuration(age), units.HumanDuration(b.MaxAge)))
	}
	recipe, err := recipes.Key(ctx, j.Config, dockerfiles.Base, recipes.BaseArguments(b), nil, j.Withheld)
	if err != nil {
		return plan.Verdict{}, err
	}
	now := BaseInputs(b, recipe)
	maps.Copy(now, j.contents(ctx, b, record.Inputs))
	changed := changedInputs("", record.Inputs, now)
	if len(changed) == 0 {
		changed = j.moved(ctx, b, record.From)
	}
	why = append(why, changed...)
	stages, _, err := j.stages(ctx, b.AsMaster(), b.Stages, record.Stages, false, nil)
	return plan.Verdict{Why: append(why, stages...)}, err
}

// contents are those of the files that a base is made of. A machine that does
// not have them cannot tell: then they are as before.
func (j *Judge) contents(ctx context.Context, b *config.Base, before ansible.Inputs) ansible.Inputs {
	now, err := j.Records.Digests().Of(ctx, j.Config, b)
	if err == nil {
		return now
	}
	j.Records.log.Warn("cannot check whether the base's file changed", "base", b.Name, "error", err)
	now = ansible.Inputs{}
	for name := range bases.Files(b) {
		if d, ok := before[name]; ok {
			now[name] = d
		}
	}
	return now
}

// moved reports whether a base's source names something else than it did. When
// that cannot be told, as without a network, it does not.
func (j *Judge) moved(ctx context.Context, b *config.Base, from digest.Digest) []string {
	if j.Upstream == nil || from == "" {
		return nil
	}
	now, err := j.Upstream(ctx, b)
	if err != nil {
		j.Records.log.Warn("cannot check whether the base's source changed", "base", b.Name, "error", err)
		return nil
	}
	if now == "" || now == from {
		return nil
	}
	return []string{fmt.Sprintf("%s is another one now: %.19s", b.Source, now)}
}

// Master judges a master's image by itself: whether its parent is stale is not
// asked, only whether it is another one.
func (j *Judge) Master(ctx context.Context, m *config.Master) (plan.Verdict, error) {
	record, why, err := j.image(ctx, m.Image())
	if err != nil || record == nil {
		return plan.Verdict{Why: why}, err
	}
	name, parent := m.Base.Name, m.Base.Image()
	if m.Parent != nil {
		name, parent = m.Parent.Name, m.Parent.Image()
	}
	_, now, err := j.Records.Get(ctx, parent)
	if err != nil {
		return plan.Verdict{}, err
	}
	if now != "" && now != record.Parent {
		why = append(why, fmt.Sprintf("its parent %s was rebuilt", name))
	}
	why = append(why, changedInputs("", record.Inputs, MasterInputs(m))...)
	stages, _, err := j.stages(ctx, m, m.Stages, record.Stages, false, nil)
	return plan.Verdict{Why: append(why, stages...)}, err
}

// image is the record of an image, nil when there is none that holds; then why
// says so.
func (j *Judge) image(ctx context.Context, image string) (*Record, []string, error) {
	record, latest, err := j.Records.Get(ctx, image)
	switch {
	case err != nil:
		return nil, nil, err
	case latest == "":
		return nil, []string{"never built"}, nil
	case record == nil || record.Image == "":
		return nil, []string{"no record of what its image was built from"}, nil
	case record.Image != latest:
		return nil, []string{fmt.Sprintf("its latest image, %.19s, is not the one that its record is of", latest)}, nil
	}
	return record, nil, nil
}

// Release judges what was published last of a master, as it is recorded.
func (j *Judge) Release(ctx context.Context, m *config.Master) (plan.Verdict, error) {
	why, err := j.published(ctx, m)
	if err != nil {
		return plan.Verdict{}, err
	}
	hosts, err := j.publishedHosts(ctx, m)
	if err == nil && !hosts && len(why) == 0 {
		why = append(why, "its hosts are not published as they are")
	}
	return plan.Verdict{Why: why}, err
}

// published judges the rootfs and the kernel that were published last.
func (j *Judge) published(ctx context.Context, m *config.Master) ([]string, error) {
	record, _, err := j.Records.Get(ctx, m.Image())
	if err != nil || j.neverUploaded(m) {
		return nil, err
	}
	if record == nil || record.Release == nil {
		return []string{"never published"}, nil
	}
	var why []string
	if record.Release.Image != record.Image {
		why = append(why, "its image is not published")
	}
	before := record.Release
	rootfs, err := RootfsInputs(j.Config, m, j.Identities || before.RootfsInputs[VaultInput] != "")
	if err != nil {
		return nil, err
	}
	recipe, err := j.initramfs(ctx, m, before.Kernel)
	if err != nil {
		return nil, err
	}
	why = append(why, changedInputs("", before.RootfsInputs, rootfs)...)
	return append(why, changedInputs("", before.KernelInputs, KernelInputs(m, recipe))...), nil
}

// initramfs is the key of the recipe for a kernel: the same for all masters of
// a base, so it is made once.
func (j *Judge) initramfs(ctx context.Context, m *config.Master, kernel string) (digest.Digest, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	of := [2]string{m.Base.Image(), kernel}
	if key, ok := j.recipes[of]; ok {
		return key, nil
	}
	key, err := recipes.InitramfsKey(ctx, j.Config, m, kernel, j.Withheld)
	if err != nil {
		return "", err
	}
	if j.recipes == nil {
		j.recipes = map[[2]string]digest.Digest{}
	}
	j.recipes[of] = key
	return key, nil
}

// publishedHosts reports whether the recorded hosts were published.
func (j *Judge) publishedHosts(ctx context.Context, m *config.Master) (bool, error) {
	record, _, err := j.Records.Get(ctx, m.Image())
	if err != nil || j.neverUploaded(m) {
		return true, err
	}
	return record != nil && record.Release != nil && record.Release.Hosts == HostsDigest(record.Hosts), nil
}

func (j *Judge) neverUploaded(m *config.Master) bool {
	return slices.Contains(j.Config.Configuration.NeverUpload, m.Name)
}

// changedInputs names the inputs that differ.
func changedInputs(of string, before, now ansible.Inputs) []string {
	var names []string
	for name, value := range now {
		if before[name] != value {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, ok := now[name]; !ok {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return []string{fmt.Sprintf("%schanged: %s", of, strings.Join(names, ", "))}
}

// stages compares what stages would be applied today with those that were. The
// changes are those of the commits, for each stage.
func (j *Judge) stages(ctx context.Context, m *config.Master, stages []config.Stage, before []StageRecord, conffs bool, hosts []string) (why []string, changes []*repository.Changes, err error) {
	same := func(s config.Stage, r StageRecord) bool { return s.Raw == r.Stage }
	if !slices.EqualFunc(stages, before, same) {
		return []string{"its stages in config.yml have changed"}, nil, nil
	}
	changes = make([]*repository.Changes, len(stages))
	for i, s := range stages {
		reasons, c, err := j.stage(ctx, m, s, before[i], conffs, hosts)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: stage %q: %w", j.Config.Place(s.Pos), s.Raw, err)
		}
		why, changes[i] = append(why, reasons...), c
	}
	return why, changes, nil
}

func (j *Judge) stage(ctx context.Context, m *config.Master, s config.Stage, before StageRecord, conffs bool, hosts []string) ([]string, *repository.Changes, error) {
	of := s.Raw + ": "
	if s.Playbook == "" {
		step, err := recipes.OfStage(j.Config, s, j.Withheld)
		if err != nil {
			return nil, nil, err
		}
		key, err := step.Key(ctx, "")
		return changedInputs(of, before.Inputs, dockerfileInputs(s, key)), nil, err
	}
	revision, err := j.Ansible.Repository.Revision(ctx, s.RunBranch(j.Branch))
	if err != nil {
		return nil, nil, err
	}
	inputs, err := j.Ansible.Playbook(PlaybookOptions(m, s, revision, conffs, hosts)).Inputs(ctx)
	if err != nil {
		return nil, nil, err
	}
	why := changedInputs(of, before.Inputs, withInit(inputs, s))
	changes, err := j.Ansible.Repository.Changes(ctx, before.Commit, revision.Commit)
	if errors.Is(err, repository.ErrUnknownCommit) {
		return append(why, fmt.Sprintf("%sthe repository no longer has commit %.12s, which it was built at", of, before.Commit)), nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	if touching := changes.Touching(before.Reads); len(touching) > 0 {
		because := ""
		if before.Reads.Everything != "" {
			because = fmt.Sprintf(" (all files count, as %s)", before.Reads.Everything)
		}
		why = append(why, fmt.Sprintf("%sfrom commit %.8s to %.8s, %s changed%s", of, before.Commit, revision.Commit, text.Few(touching), because))
	}
	return why, changes, nil
}

// onto is the image that the hosts of a master would be made of: the one that
// the current release names, or with built the latest.
func (j *Judge) onto(ctx context.Context, m *config.Master, built bool) (digest.Digest, error) {
	if !built {
		current, err := release.Current(j.UploadDir, m.Name)
		if err == nil {
			return current.Rootfs.Image, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	_, latest, err := j.Records.Get(ctx, m.Image())
	return latest, err
}

// revision is the one whose inventory has the hosts of a master.
func (j *Judge) revision(ctx context.Context, m *config.Master) (repository.Revision, error) {
	return j.Ansible.Repository.Revision(ctx, cmp.Or(j.Branch, m.Branch))
}
