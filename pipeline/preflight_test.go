package pipeline

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vauban/config"
	"vauban/pipeline/plan"
	"vauban/release"
)

func TestCheckRoom(t *testing.T) {
	const mib = 1 << 20
	for name, test := range map[string]struct {
		state, tree need
		free        map[string]int64 // by folder
		one         bool             // both on one disk
		fails       bool
		want        string // in the error or the warning; "" for neither
	}{
		"nothing known":       {free: map[string]int64{}},
		"room":                {state: need{least: 10 * mib, likely: 30 * mib}, tree: need{least: 10 * mib, likely: 11 * mib}, free: map[string]int64{"/state": 50 * mib, "/tree": 50 * mib}},
		"too little there":    {state: need{least: 10 * mib, likely: 30 * mib}, tree: need{least: 10 * mib, likely: 11 * mib}, free: map[string]int64{"/state": 50 * mib, "/tree": 9 * mib}, fails: true, want: "about 11 MiB in /tree, as the last time, and 9 MiB are free"},
		"too little here":     {state: need{least: 10 * mib, likely: 30 * mib}, free: map[string]int64{"/state": 9 * mib, "/tree": 50 * mib}, fails: true, want: "about 30 MiB in /state"},
		"perhaps too little":  {state: need{least: 10 * mib, likely: 30 * mib}, free: map[string]int64{"/state": 20 * mib, "/tree": 50 * mib}, want: "about 30 MiB in /state"},
		"hopelessly little":   {state: need{likely: 4000 * mib}, free: map[string]int64{"/state": 20 * mib, "/tree": 50 * mib}, fails: true, want: "about 4000 MiB"},
		"one disk for both":   {state: need{least: 10 * mib, likely: 30 * mib}, tree: need{least: 10 * mib, likely: 11 * mib}, one: true, free: map[string]int64{"/state": 19 * mib, "/tree": 19 * mib}, fails: true, want: "about 41 MiB in /state and /tree"},
		"one disk, not known": {state: need{least: 10 * mib, likely: 30 * mib}, one: true, free: map[string]int64{"/state": 20 * mib, "/tree": 20 * mib}, want: "about 30 MiB in /state,"},
	} {
		t.Run(name, func(t *testing.T) {
			test.state.folder, test.tree.folder = "/state", "/tree"
			warned := ""
			err := checkRoom([]need{test.state, test.tree}, func(folder string) (release.Disk, error) {
				disk := release.Disk{ID: 1, Free: test.free[folder]}
				if folder == "/tree" && !test.one {
					disk.ID = 2
				}
				return disk, nil
			}, func(text string) { warned += text })
			if test.fails {
				if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("the error is %v, want %q", err, test.want)
				}
				return
			}
			if err != nil || test.want == "" && warned != "" || !strings.Contains(warned, test.want) {
				t.Errorf("warned %q, want %q; the error is %v", warned, test.want, err)
			}
		})
	}
}

func TestCheckHostsNamesEach(t *testing.T) {
	m := &config.Master{Name: "web", Conffs: "web*"}
	if err := checkHosts(m, []string{"web01", "web02.example.com"}); err != nil {
		t.Error(err)
	}
	err := checkHosts(m, []string{"web01", "wéb", ".web", "web02"})
	if err == nil {
		t.Fatal("impossible names are taken")
	}
	for _, want := range []string{`"wéb"`, `".web"`, `conffs: "web*,!wéb,!.web"`, "--limit"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error %v lacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "web01") {
		t.Errorf("the error %v names a host that is right", err)
	}
	if err := checkHosts(m, []string{"2001:db8::1"}); err == nil || strings.Contains(err.Error(), "!2001") {
		t.Errorf("an address: %v", err)
	}
}

// TestChecksEveryPush: a right to push one image says nothing of another's.
func TestChecksEveryPush(t *testing.T) {
	base := &config.Base{Name: "debian"}
	web, db := &config.Master{Name: "web", Base: base}, &config.Master{Name: "db", Base: base}
	selected := selections{web: {Wanted: []string{"web01", "web02"}}, db: {}}
	r := &Runner{Options: Options{Config: &config.Config{}}}
	for name, tt := range map[string]struct {
		tasks     []*plan.Task
		pushHosts string
		want      []string
	}{
		"a base and masters": {[]*plan.Task{{Kind: plan.MakeBase, Base: base}, {Kind: plan.MakeRootfs, Base: base, Master: web}, {Kind: plan.MakeRootfs, Base: base, Master: db}}, "final",
			[]string{"db", "debian", "debian/raw-iso", "web"}},
		"conffs alone":        {[]*plan.Task{{Kind: plan.MakeConffs, Master: web}}, "final", []string{"web", "web/web01"}},
		"conffs of no host":   {[]*plan.Task{{Kind: plan.MakeConffs, Master: db}}, "final", []string{"db"}},
		"hosts stay here":     {[]*plan.Task{{Kind: plan.MakeConffs, Master: web}}, "none", []string{"web"}},
		"nothing that pushes": {[]*plan.Task{{Kind: plan.MakeSquashfs, Master: web}}, "final", nil},
	} {
		r.Config.Configuration.PushHosts = tt.pushHosts
		r.plan = &plan.Plan{Tasks: tt.tasks}
		names := r.pushed(selected)
		if !slices.Equal(names, tt.want) {
			t.Errorf("%s: %q, want %q", name, names, tt.want)
		}
		for _, refused := range names {
			err := checkPushes(t.Context(), names, func(_ context.Context, name string) error {
				if name == refused {
					return errors.New("refused: " + name)
				}
				return nil
			})
			if err == nil || err.Error() != "refused: "+refused {
				t.Errorf("%s: %v, want that %s is refused", name, err, refused)
			}
		}
	}
}

func TestCheckPrograms(t *testing.T) {
	base := &config.Base{Source: config.Source{Kind: config.Release}}
	p := &plan.Plan{Tasks: []*plan.Task{{Kind: plan.MakeBase, Base: base}, {Kind: plan.MakeSquashfs, Base: base}, {Kind: plan.MakeRootfs, Base: base}}}
	for there, want := range map[string]string{"mksquashfs mmdebstrap": "", "mmdebstrap": "squashfs-tools", "mksquashfs": "apt-get install mmdebstrap"} {
		err := checkPrograms(p, func(name string) (string, error) {
			if strings.Contains(there, name) {
				return "/usr/bin/" + name, nil
			}
			return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
		})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("with %s, the error is %v, want %q", there, err, want)
		}
	}
}
