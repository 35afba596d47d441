package bases

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"vauban/config"
	"vauban/layers"
	"vauban/registry"
)

// Image makes a base's image from an image in a registry: from its layers, and
// nothing of its configuration. Environment, user, volumes and command belong to
// a container: the machine that boots has none of them, and playbooks that relied
// on them would work here and fail there. Its labels describe another image; the
// given ones replace them, with the name and digest of the source. From is the
// digest that the source names.
func (o *Opener) Image(ctx context.Context, b *config.Base, labels map[string]string) (_ layers.Image, from digest.Digest, err error) {
	source, reg, err := openSource(ctx, o.Settings, o.Log, b, 0)
	if err != nil {
		return layers.Image{}, "", err
	}
	defer func() { err = errors.Join(err, reg.Close()) }()
	if from, err = sourceDigest(ctx, source, reg); err != nil {
		return layers.Image{}, "", err
	}
	chosen, _, err := reg.Choose(ctx, source.Image, from.String())
	if err != nil {
		return layers.Image{}, "", err
	}
	o.Say("pulling %s (%.19s)", b.Source.Value, chosen.Digest)
	pulled, err := reg.Pull(o.Engine.Context(ctx), source.Image, chosen.Digest.String(), o.Engine.Store())
	if err != nil {
		return layers.Image{}, "", err
	}
	labels = maps.Clone(labels)
	labels[ocispec.AnnotationBaseImageName] = source.String()
	labels[ocispec.AnnotationBaseImageDigest] = chosen.Digest.String()
	img, err := o.Engine.Adopt(ctx, pulled.Descriptor, labels)
	return img, from, err
}

// sourceDigest is what a tag names now, or the digest itself.
func sourceDigest(ctx context.Context, source registry.Source, reg *registry.Registry) (digest.Digest, error) {
	if source.IsDigest() {
		return digest.Digest(source.Tag), nil
	}
	return reg.Digest(ctx, source.Image, source.Tag)
}

// openSource opens the registry of a base's image, with the login that is set
// where it is the user's own.
func openSource(ctx context.Context, s config.Settings, log *slog.Logger, b *config.Base, attempts int) (registry.Source, *registry.Registry, error) {
	source, err := registry.ParseSource(b.Source.Value)
	if err != nil {
		return source, nil, err
	}
	o := registry.Options{Hostname: source.Hostname, Architecture: goArchitecture(b.Arch), Setting: "`image:`", Attempts: attempts, Log: log}
	if own, _, _ := strings.Cut(s.RegistryHostname, "/"); own == source.Hostname {
		o.Username, o.Password = s.RegistryUsername, s.RegistryPassword.Reveal()
	}
	reg, err := registry.Open(ctx, o)
	return source, reg, err
}

// goArchitecture is what registries call one of Debian's architectures.
// Source: https://wiki.debian.org/ArchitectureSpecificsMemo
func goArchitecture(debian string) string {
	switch debian {
	case "armhf":
		return "arm/v7"
	case "armel":
		return "arm/v5"
	case "i386":
		return "386"
	case "ppc64el":
		return "ppc64le"
	case "mips64el":
		return "mips64le"
	}
	return debian
}
