//go:build integration

package layers_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"vauban/layers"
)

// same is a step that gives the same layer whenever it runs.
const same = `echo same >/srv/same; touch -d @1700000000 /srv/same /srv /etc /etc/hostname`

// Two runs share one containerd, and make the same image at the same time.
func TestTwoRunsAtOnce(t *testing.T) {
	e, base := shared.use(t)
	if err := e.SetImage(t.Context(), "base", base); err != nil {
		t.Fatal(err)
	}
	results := make([][]string, 2)
	var runs sync.WaitGroup
	for i := range results {
		c := newChild(t, shared.dir, same, "twin01", "twin02")
		runs.Go(func() { results[i] = c.run(t) })
	}
	runs.Wait()
	if len(results[0]) != 3 || !slices.Equal(results[0], results[1]) {
		t.Errorf("two runs made different images: %q", results)
	}
}

// An image that a run knows is there until the run ends, whatever others do
// to its name.
func TestImagesStayWhileARunKnowsThem(t *testing.T) {
	e, base := shared.use(t)
	maker, err := openEngine(shared.dir)
	if err != nil {
		t.Fatal(err)
	}
	made := applyOne(t, maker, `echo moving >/srv/file`, target("moving", base))
	if err := maker.SetImage(t.Context(), "moving", made); err != nil {
		t.Fatal(err)
	}
	if err := maker.Close(); err != nil {
		t.Fatal(err)
	}

	known, err := e.Image(t.Context(), "moving")
	if err != nil {
		t.Fatal(err)
	}
	mover, err := openEngine(shared.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := mover.SetImage(t.Context(), "moving", base); err != nil {
		t.Fatal(err)
	}
	if err := mover.Close(); err != nil { // which collects garbage
		t.Fatal(err)
	}

	for _, blob := range append(known.Manifest.Layers, known.Manifest.Config, known.Descriptor) {
		if _, err := e.Store().Info(e.Context(t.Context()), blob.Digest); err != nil {
			t.Error(err)
		}
	}
	img := applyOne(t, e, `true`, target("moving", known))
	if got := read(t, e, img, "srv/file"); got["srv/file"] != "moving\n" {
		t.Errorf("the image holds %q", got)
	}
}

// relabel is a step that changes the images' configuration.
type relabel struct{}

func (relabel) Key(context.Context, string) (digest.Digest, error) { return "", nil }

func (relabel) Run(_ context.Context, containers []*layers.Container) error {
	var work sync.WaitGroup
	for _, c := range containers {
		work.Go(func() {
			config := c.ImageConfig()
			config.Labels[c.Name()] = "here"
			config.Env[0] = "NAME=" + c.Name()
		})
	}
	work.Wait()
	return nil
}

// An image is a value: what a step does to one configuration is not seen in
// the parent's, or in a sibling's.
func TestConfigurationsAreApart(t *testing.T) {
	e, base := shared.use(t)
	base.Config.Config.Env = []string{"NAME=base"}
	base.Config.Config.Labels = map[string]string{"from": "base"}
	results := apply(t, e, relabel{}, target("apart01", base), target("apart02", base))
	if got := fmt.Sprint(base.Config.Config.Env, base.Config.Config.Labels); got != "[NAME=base] map[from:base]" {
		t.Errorf("the parent became %s", got)
	}
	for _, r := range results {
		want := fmt.Sprintf("[NAME=%s] map[%s:here from:base vauban.test:yes]", r.Name, r.Name)
		if got := fmt.Sprint(r.Image.Config.Config.Env, r.Image.Config.Config.Labels); got != want {
			t.Errorf("%s has %s, want %s", r.Name, got, want)
		}
	}
}

func TestTwentyContainers(t *testing.T) {
	e, base := shared.use(t)
	var targets []layers.Target
	for i := range 20 {
		targets = append(targets, target(fmt.Sprintf("many%02d", i), base))
	}
	apply(t, e, script(`true`), targets[0]) // what is made once and stays
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	for _, r := range apply(t, e, script(`hostname >/srv/name; ip route get 192.0.2.1 >/dev/null`), targets...) {
		if r.Err != nil {
			t.Error(r.Err)
		} else if got := read(t, e, r.Image, "srv/name"); got["srv/name"] != r.Name+"\n" {
			t.Errorf("%s holds %q", r.Name, got)
		}
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	if left := openFiles(t); len(left) > len(files) {
		t.Errorf("open files: %q, before %q", left, files)
	}
}

// openFiles lists what this process has open.
func openFiles(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, entry := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
			files = append(files, target)
		}
	}
	return files
}

// Inside works on threads of their own, which end: they are in another mount
// namespace.
func TestInsideLeavesNoThread(t *testing.T) {
	e, base := shared.use(t)
	live(t, e, target("threads", base), func(c *layers.Container) {
		inside := func() {
			var calls sync.WaitGroup
			for range 8 {
				calls.Go(func() {
					err := c.Inside(func() error {
						name, err := os.ReadFile("/etc/hostname")
						if err == nil && string(name) != "threads\n" {
							err = fmt.Errorf("/etc/hostname holds %q", name)
						}
						return err
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			calls.Wait()
		}
		inside()
		before := threads(t)
		for range 50 {
			inside()
		}
		eventually(t, "no thread is left", func() bool { return threads(t) <= before+8 })
		// A thread ends a moment after what it ran.
		eventually(t, "no thread is elsewhere", func() bool { return len(strays(t)) == 0 })
	})
}

func threads(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// strays are threads in another mount namespace, or that took another root or
// working directory along.
func strays(t *testing.T) (found []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		task := "/proc/self/task/" + entry.Name()
		for _, link := range []string{"ns/mnt", "root", "cwd"} {
			want, _ := os.Readlink("/proc/self/" + link)
			got, err := os.Readlink(task + "/" + link)
			if err == nil && got != want {
				found = append(found, task+"/"+link)
			}
		}
	}
	return found
}
