package freshness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"vauban/internal/damage"
	"vauban/internal/durable"
	"vauban/internal/filelock"
	"vauban/pipeline/bases"
	"vauban/registry"
)

// Records are the freshness records of images: in the registry, and a copy of
// each here, so that an unchanged one costs a question whether it is the same.
type Records struct {
	registry *registry.Registry
	dir      string
	log      *slog.Logger

	mu    sync.Mutex
	known map[string]*known // by image name
}

// known is what one image's name stands for.
type known struct {
	once   sync.Once
	err    error
	record *Record       // nil: there is none
	latest digest.Digest // "": no image has the tag
}

// parallelRecords is how many records travel at a time.
const parallelRecords = 16

// NewRecords keeps copies below the state directory.
func NewRecords(r *registry.Registry, stateDir string, log *slog.Logger) *Records {
	of := "embedded"
	if !r.Embedded() {
		of = digest.FromString(r.Address()).Encoded()[:16]
	}
	return &Records{registry: r, dir: filepath.Join(stateDir, "freshness", of), log: log, known: map[string]*known{}}
}

// Load reads the records of several images at once, so that Get need not wait.
func (s *Records) Load(ctx context.Context, images ...string) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelRecords)
	for _, image := range images {
		group.Go(func() error {
			_, _, err := s.Get(ctx, image)
			return err
		})
	}
	return group.Wait()
}

// Get is the record of an image, nil when there is none, and the image that is
// the latest of its name: "" when there is none. The answer stays the same
// until Update changes it.
func (s *Records) Get(ctx context.Context, image string) (*Record, digest.Digest, error) {
	s.mu.Lock()
	k := s.known[image]
	if k == nil {
		k = &known{}
		s.known[image] = k
	}
	s.mu.Unlock()
	k.once.Do(func() { k.record, k.latest, k.err = s.read(ctx, image) })
	return k.record, k.latest, k.err
}

// stored is a record as its copy here holds it.
type stored struct {
	// remote is the artifact in the registry that it is, or that it was made
	// from when it is unpushed.
	remote   digest.Digest
	unpushed bool
	data     []byte
}

func (s *Records) read(ctx context.Context, image string) (*Record, digest.Digest, error) {
	latest, err := s.registry.Resolve(ctx, image, registry.Latest)
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, "", err
	}
	local, err := s.current(ctx, image)
	if err != nil || local.data == nil {
		return nil, latest.Digest, err
	}
	record, err := decodeRecord(local.data)
	if err != nil {
		s.log.Warn("a freshness record is of no use", "image", image, "error", err)
		return nil, latest.Digest, nil
	}
	if local.unpushed {
		latest.Digest = record.Image
	}
	return record, latest.Digest, nil
}

// current is the copy here if it is what the registry has, else that.
func (s *Records) current(ctx context.Context, image string) (stored, error) {
	local := s.readCopy(image)
	remote, err := s.registry.Resolve(ctx, image, RecordTag)
	if err != nil && !errdefs.IsNotFound(err) {
		return stored{}, err
	}
	if remote.Digest == local.remote {
		return local, nil
	}
	if remote.Digest == "" {
		return stored{}, nil
	}
	data, err := s.registry.FetchArtifact(ctx, image, remote.Digest.String(), recordMediaType)
	if errdefs.IsNotFound(err) {
		return stored{remote: remote.Digest}, nil // of another version, or gone since
	} else if err != nil {
		return stored{}, err
	}
	fetched := stored{remote: remote.Digest, data: data}
	return fetched, s.writeCopy(image, fetched)
}

// Update changes the record of an image, here and, if push is set, in the
// registry: called when the image itself has its tags. The record may be the
// zero one.
func (s *Records) Update(ctx context.Context, image string, push bool, change func(*Record)) error {
	lock, err := s.lock(ctx, image)
	if err != nil {
		return err
	}
	defer lock.Close()
	before, err := s.current(ctx, image)
	if err != nil {
		return err
	}
	record := &Record{}
	if before.data != nil {
		if r, err := decodeRecord(before.data); err == nil {
			record = r
		}
	}
	change(record)
	next := stored{remote: before.remote, unpushed: !push}
	if next.data, err = record.encode(); err != nil {
		return err
	}
	if push {
		pushed, err := s.registry.PushArtifact(ctx, image, RecordTag, recordMediaType, next.data)
		if err != nil {
			return fmt.Errorf("pushing the freshness record of %q: %w", image, err)
		}
		next.remote = pushed.Digest
	}
	if err := s.writeCopy(image, next); err != nil {
		return err
	}
	k := &known{record: record, latest: record.Image}
	k.once.Do(func() {})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[image] = k
	return nil
}

func (s *Records) path(image string) string {
	return filepath.Join(s.dir, strings.ReplaceAll(image, "/", "@")) // which no name has
}

// contents keeps the digests of files here, as they change with the machine.
func (s *Records) Digests() bases.Digests { return bases.Digests{Dir: filepath.Join(s.dir, "files@")} }

const unpushedMark = " unpushed"

// readCopy gives nothing when there is no copy that can be read.
func (s *Records) readCopy(image string) stored {
	text, err := os.ReadFile(s.path(image))
	if errors.Is(err, fs.ErrNotExist) {
		return stored{}
	}
	var c stored
	if err == nil {
		c, err = parseCopy(text)
	}
	if err != nil {
		s.log.Warn("the copy of a freshness record is damaged and is fetched again", "image", image, "error", err)
		return stored{}
	}
	return c
}

// parseCopy reads what writeCopy wrote.
func parseCopy(text []byte) (stored, error) {
	head, data, ok := bytes.Cut(text, []byte{'\n'})
	if !ok {
		return stored{}, errors.New("it has no first line")
	}
	remote, unpushed := strings.CutSuffix(string(head), unpushedMark)
	if unpushed {
		_, err := decodeRecord(data) // its digest is that of another
		return stored{digest.Digest(remote), true, data}, err
	}
	var err error
	if !registry.IsArtifact(digest.Digest(remote), recordMediaType, data) {
		err = errors.New("its content does not have the digest of its first line")
	}
	return stored{digest.Digest(remote), false, data}, err
}

func (s *Records) writeCopy(image string, c stored) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("keeping a freshness record: %w", err)
	}
	head := c.remote.String()
	if c.unpushed {
		head += unpushedMark
	}
	if err := durable.WriteFile(s.path(image), fmt.Appendf(nil, "%s\n%s", head, c.data), 0o600); err != nil {
		return fmt.Errorf("keeping a freshness record: %w", err)
	}
	return nil
}

// CheckRecords finds copies of records in a state directory that cannot be
// read.
func CheckRecords(stateDir string) (found []damage.Finding, err error) {
	paths, err := filepath.Glob(filepath.Join(stateDir, "freshness", "*", "*"))
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || strings.HasSuffix(path, lockSuffix) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("checking the freshness records: %w", err)
		}
		if _, err := parseCopy(text); err != nil {
			found = append(found, damage.Finding{Kind: damage.Record, Path: path, Err: err, Remove: func() error { return os.Remove(path) }})
		}
	}
	return found, err
}

// lockSuffix is that of the file by which a record is locked.
const lockSuffix = "@lock"

// lock keeps other runs on this machine from changing the record too.
func (s *Records) lock(ctx context.Context, image string) (*os.File, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("locking a freshness record: %w", err)
	}
	return filelock.Open(ctx, s.path(image)+lockSuffix)
}
