package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"vauban/layers"
)

// HistoryOf reads the history of an image. An image without the files has
// their text in its labels.
func HistoryOf(ctx context.Context, engine *layers.Engine, img layers.Image) (h History, err error) {
	err = engine.Mount(ctx, img, func(root string) (err error) {
		h, err = HistoryIn(root)
		return err
	})
	labels := img.Config.Config.Labels
	if errors.Is(err, fs.ErrNotExist) && labels[labelImginfo] != "" {
		return parseHistory([]byte(labels[labelImginfo]), []byte(labels[labelPackages]))
	}
	return h, err
}

// HistoryIn reads the history of the root filesystem at dir, as / is in a
// booted machine. The error is [fs.ErrNotExist] where there is no /imginfo.
func HistoryIn(dir string) (History, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return History{}, err
	}
	defer root.Close()
	imginfo, err := fs.ReadFile(root.FS(), string(imginfoList[1:]))
	if err != nil {
		return History{}, fmt.Errorf("reading how it was made, which images of other tools do not tell: %w", err)
	}
	packages, err := fs.ReadFile(root.FS(), string(packagesList[1:]))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return History{}, err
	}
	return parseHistory(imginfo, packages)
}
