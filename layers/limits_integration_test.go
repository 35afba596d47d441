//go:build integration

package layers_test

import (
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"

	"vauban/internal/testenv"
	"vauban/layers"
)

// What a stage takes of the builder ends at the container's limits, and the
// error names the limit and its setting.
func TestLimits(t *testing.T) {
	_, base := shared.use(t)
	e, err := layers.Open(t.Context(), layers.Options{StateDir: shared.dir, Embedded: true, Version: "test", Log: testenv.Log(t),
		Limits: layers.Limits{Processes: 60, Memory: 128 << 20, OpenFiles: 300}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	applyOne(t, e, script(`[ "$(ulimit -n)" = 300 ]`), target("modest", base))
	for name, c := range map[string]struct{ script, says string }{
		"forkbomb": {`i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; exit 3`, "of 60 processes and threads: raise CONTAINER_PROCESSES"},
		"memory":   {`python3 -c 'bytearray(1 << 30)'`, "of 128MiB of memory, and the kernel killed a process: raise CONTAINER_MEMORY"},
	} {
		t.Run(name, func(t *testing.T) {
			err := apply(t, e, script(c.script), target(name, base))[0].Err
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error is %v, want %q in it", err, c.says)
			}
		})
	}
}

// TestLayerSizes: sparse files that are too large for a layer are refused, and
// nothing is stored of them.
func TestLayerSizes(t *testing.T) {
	e, base := shared.use(t)
	before := blobs(t, e)
	err := apply(t, e, script("truncate -s 467G /var/log/lastlog"), target("lastlog", base))[0].Err
	for _, says := range []string{`"var/log/lastlog" of 467GiB (0B on disk)`, "raise LAYER_MAX_FILE_SIZE (16GiB)"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("the error is %v, want %q in it", err, says)
		}
	}
	err = apply(t, e, script("cd /srv; for i in 1 2 3 4 5; do truncate -s 15G $i; done"), target("many", base))[0].Err
	for _, says := range []string{"would hold 75GiB", `is "srv/1" of 15GiB (0B on disk)`, "raise LAYER_MAX_SIZE (64GiB)"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("the error is %v, want %q in it", err, says)
		}
	}
	if after := blobs(t, e); after != before {
		t.Errorf("%d blobs after, %d before", after, before)
	}
}

func blobs(t *testing.T, e *layers.Engine) (n int) {
	t.Helper()
	err := e.Store().Walk(e.Context(t.Context()), func(content.Info) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}
