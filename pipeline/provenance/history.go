package provenance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"vauban/internal/beneath"
	"vauban/layers"
)

// HistoryOf reads the history of an image. An image without the files has
// their text in its labels.
func HistoryOf(ctx context.Context, engine *layers.Engine, img layers.Image) (h History, err error) {
	err = engine.Mount(ctx, img, func(root string) (err error) {
		h, err = HistoryIn(ctx, root)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		if told, ok, err := HistoryTold(img.Config.Config.Labels); ok {
			return told, err
		}
	}
	return h, err
}

// HistoryTold reads the history of an image from its labels, or from the
// annotations of its manifest; ok reports whether they have one.
func HistoryTold(labels map[string]string) (h History, ok bool, err error) {
	if labels[LabelImginfo] == "" {
		return h, false, nil
	}
	h, err = ParseHistory([]byte(labels[LabelImginfo]), []byte(labels[LabelPackages]))
	return h, true, err
}

// HistoryIn reads the history of the root filesystem at dir, as / is in a
// booted machine. The error is [fs.ErrNotExist] where there is no /imginfo.
func HistoryIn(ctx context.Context, dir string) (History, error) {
	root, err := beneath.OpenRoot(dir)
	if err != nil {
		return History{}, err
	}
	defer root.Close()
	imginfo, err := root.ReadFile(ctx, string(imginfoList), maxTrace)
	if err != nil {
		return History{}, fmt.Errorf("reading how it was made (images of other tools do not record it): %w", err)
	}
	packages, err := root.ReadFile(ctx, string(packagesList), maxTrace)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return History{}, err
	}
	return ParseHistory(imginfo, packages)
}
