package release

import (
	"errors"
	"testing"
)

// Runs that overlap: what the one that began later published stays, unless the
// other goes well with it.
func TestOvertaken(t *testing.T) {
	for name, tt := range map[string]struct {
		seen   string // by the run that publishes last
		at     string
		change func(*Release)
		want   string // the timestamp served; "" is ErrOvertaken
	}{
		"it began before the other":   {seen: first, at: second},
		"it began before any release": {seen: "", at: second},
		"it began after the other":    {seen: third, at: "2026-11-20T211351Z", want: "2026-11-20T211351Z"},
		"its clock is behind":         {seen: third, at: second, want: "2026-11-20T211351Z"},
		"the other began earlier":     {seen: first, at: "2026-11-20T211351Z", want: "2026-11-20T211351Z"},
		"in the same second":          {seen: first, at: third, want: "2026-11-20T211351Z"},
		"both made the same image of the rootfs": {seen: first, at: second, change: func(r *Release) {
			r.Rootfs.Image = image("master newer")
			r.Conffs["web01"] = BuiltConffs{Path: r.Conffs["web01"].Path, Image: image("web01 again"), Master: image("master newer")}
		}, want: "2026-11-20T211351Z"},
		"conffs for the other's image": {seen: first, at: second, change: func(r *Release) {
			r.Rootfs, r.Kernel = nil, nil
			r.Conffs["web01"] = BuiltConffs{Path: r.Conffs["web01"].Path, Image: image("web01 again"), Master: image("master newer")}
		}, want: third},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustPublish(t, dir, built(t, first, "old", "web01"))
			mustPublish(t, dir, built(t, third, "newer", "web01"))
			r := built(t, tt.at, "late", "web01")
			r.Seen = tt.seen
			if tt.change != nil {
				tt.change(&r)
			}
			_, err := Publish(t.Context(), dir, r, TreeOptions{})
			if tt.want == "" {
				if !errors.Is(err, ErrOvertaken) {
					t.Errorf("error %v, want ErrOvertaken", err)
				}
				wantServed(t, dir, third)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantServed(t, dir, tt.want)
		})
	}
}

// What a run that began later made stays, part by part.
func TestOvertakenParts(t *testing.T) {
	const fourth = "2026-11-20T211351Z"
	for name, tt := range map[string]struct {
		seen, at string
		stays    bool
	}{
		"it began before the other": {seen: first, at: second, stays: true},
		"it began after the other":  {seen: first, at: fourth},
		"it saw the other":          {seen: third, at: second},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustPublish(t, dir, built(t, first, "old", "web01", "web02"))
			part := func(timestamp, content, seen string, hosts ...string) Release {
				r := onlyConffs(built(t, timestamp, content, hosts...), "old")
				r.Kernel = built(t, timestamp, content).Kernel
				r.Hosts, r.Seen = nil, seen
				return r
			}
			newer := mustPublish(t, dir, part(third, "newer", first, "web01"))
			served := mustPublish(t, dir, part(tt.at, "late", tt.seen, "web01", "web02"))
			if served.Hosts["web02"].Built != tt.at {
				t.Errorf("web02 is of %s, want that of %s", served.Hosts["web02"].Built, tt.at)
			}
			if stays := served.Hosts["web01"] == newer.Hosts["web01"]; stays != tt.stays {
				t.Errorf("the newer conffs stay: %v", stays)
			}
			if stays := served.Kernel == newer.Kernel; stays != tt.stays {
				t.Errorf("the newer kernel stays: %v", stays)
			}
		})
	}
}
