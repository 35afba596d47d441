package bases

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"vauban/config"
	"vauban/download"
)

// Upstream gives the digest of what a base's source names now, "" where nothing
// but config.yml says what that is.
type Upstream func(context.Context, *config.Base) (digest.Digest, error)

// upstreamPatience is how long it may take to ask. What cannot be asked counts
// as it was.
const upstreamPatience = 20 * time.Second

// NewUpstream asks registries what their tags name, and servers for their lists
// of digests. It asks once: a judgement does not wait for a network.
func NewUpstream(cfg *config.Config, s config.Settings, stateDir string, log *slog.Logger) Upstream {
	lists := download.Client{Dir: filepath.Join(stateDir, "downloads"), Attempts: 1, Log: log}
	return func(ctx context.Context, b *config.Base) (_ digest.Digest, err error) {
		ctx, cancel := context.WithTimeout(ctx, upstreamPatience)
		defer cancel()
		switch {
		case b.Source.Kind == config.Image:
			source, reg, err := openSource(ctx, s, log, b, 1)
			if err != nil {
				return "", err
			}
			defer func() { err = errors.Join(err, reg.Close()) }()
			return sourceDigest(ctx, source, reg)
		case b.SHA512Sums != "":
			return listedDigest(ctx, cfg, lists, b)
		}
		return "", nil
	}
}
