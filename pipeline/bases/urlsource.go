package bases

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"

	"vauban/config"
	"vauban/download"
)

// downloads is the cache of what bases come from, and says how far
// a download is.
func (o *Opener) downloads() download.Client {
	return download.Client{Dir: filepath.Join(o.StateDir, "downloads"), Log: o.Log, Progress: func(have, size int64) {
		of := ""
		if size >= 0 {
			of = " of " + units.HumanSize(float64(size))
		}
		o.Say("downloading: %s%s", units.HumanSize(float64(have)), of)
	}}
}

// fetched gives the root filesystem in a file of elsewhere, which is used only
// when it has the digests that config.yml and its list say.
func (o *Opener) fetched(ctx context.Context, b *config.Base, digests []digest.Digest) (io.ReadCloser, error) {
	o.Say("downloading %s, unless it is here", config.PublicURL(b.Source.Value))
	file, err := o.downloads().File(ctx, b.Source.Value, digests...)
	if _, isWrong := errors.AsType[*download.MismatchError](err); isWrong {
		return nil, fmt.Errorf("%w: nothing of it is kept; correct the digest, or ask why the server has another file", err)
	} else if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	return o.rootIn(ctx, f)
}
