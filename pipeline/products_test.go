package pipeline

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"vauban/ansible"
	"vauban/pipeline/freshness"
	"vauban/pipeline/plan"
)

// Products can come from elsewhere: what is written is what is read.
func TestProductsAsJSON(t *testing.T) {
	image := Image{Name: "web", Digest: digest.FromString("web")}
	for _, p := range []Product{
		&image,
		&Squashfs{Image: image, Path: "/work/rootfs.squashfs", Kernels: []string{"6.1"}, Parameters: []string{"quiet"}, Packing: digest.FromString("zstd"), Identity: true},
		&Kernel{Image: image, Version: "6.1", Vmlinuz: "/kernels/vmlinuz", Initramfs: "/kernels/initramfs.img"},
		&Conffs{Image: image, All: []string{"h1", "h2"}, Hosts: []HostConffs{{Name: "h1", Path: "/work/h1", Image: digest.FromString("h1"), Identity: true}, {Name: "h2", Failed: "why"}},
			Stages: []freshness.StageRecord{{Stage: "a.yml", Commit: "1", Inputs: ansible.Inputs{"facts": "2"}}}},
		&Release{Master: "web", Timestamp: "2026-11-20T211348Z", Dir: "/pxe/web", Image: image.Digest, Candidate: true},
	} {
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var read Product
		switch p.(type) {
		case *Image:
			read = &Image{}
		case *Squashfs:
			read = &Squashfs{}
		case *Kernel:
			read = &Kernel{}
		case *Conffs:
			read = &Conffs{}
		case *Release:
			read = &Release{}
		}
		if err := json.Unmarshal(text, read); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, read); diff != "" {
			t.Errorf("%s: written (-), read (+):\n%s", text, diff)
		}
	}
}

func TestMade(t *testing.T) {
	image := Image{Name: "web"}
	of := given{plan.MakeRootfs: image, plan.MakeSquashfs: nil}
	if got := made[Image](of, plan.MakeRootfs); got == nil || *got != image {
		t.Errorf("got %v", got)
	}
	if got := made[Squashfs](of, plan.MakeSquashfs); got != nil {
		t.Errorf("a task that made nothing gives %v", got)
	}
	if got := made[Kernel](of, plan.MakeKernel); got != nil {
		t.Errorf("a task that is not there gives %v", got)
	}
}

func TestFailedRuns(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   []Outcome
		want string
	}{
		{name: "nothing"},
		{name: "all is well", of: []Outcome{{Product: Image{}}, {Product: Conffs{Hosts: []HostConffs{{Name: "h1"}}}}}},
		{name: "a host", of: []Outcome{{Product: Conffs{Hosts: []HostConffs{{Name: "h1", Failed: "why"}}}}}, want: "some hosts failed; the rest is done"},
		{name: "a task", of: []Outcome{{Err: plan.ErrSkipped}}, want: "some of the work failed"},
	} {
		err := failed(tt.of)
		if err == nil && tt.want != "" || err != nil && err.Error() != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
