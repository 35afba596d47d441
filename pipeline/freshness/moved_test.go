package freshness

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"vauban/config"
	"vauban/pipeline/bases"
)

func TestMoved(t *testing.T) {
	before, now := digest.FromString("before"), digest.FromString("now")
	names := func(d digest.Digest, err error) bases.Upstream {
		return func(context.Context, *config.Base) (digest.Digest, error) { return d, err }
	}
	for _, tt := range []struct {
		name     string
		upstream bases.Upstream
		from     digest.Digest
		why, log string
	}{
		{name: "nobody asks", from: before},
		{name: "nothing is recorded", upstream: names(now, nil)},
		{name: "config.yml says all", upstream: names("", nil), from: before},
		{name: "the same", upstream: names(before, nil), from: before},
		{name: "another", upstream: names(now, nil), from: before, why: "image debian:12 is another one now: " + now.String()[:19]},
		{name: "no answer", upstream: names("", errors.New("no network")), from: before, log: "no network"},
	} {
		var log bytes.Buffer
		j := &Judge{Upstream: tt.upstream, Records: &Records{log: slog.New(slog.NewTextHandler(&log, nil))}}
		why := j.moved(t.Context(), &config.Base{Name: "b", Source: config.Source{Kind: config.Image, Value: "debian:12"}}, tt.from)
		if got := strings.Join(why, "; "); got != tt.why || !strings.Contains(log.String(), tt.log) || (tt.log == "") != (log.Len() == 0) {
			t.Errorf("%s: %q, log %q", tt.name, got, log.String())
		}
	}
}
