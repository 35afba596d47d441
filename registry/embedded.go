package registry

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // registers the driver

	"vauban/internal/filelock"
)

// embedded is a registry in this process. Several processes may have theirs on
// the same folder: the storage replaces files atomically, and what spans
// several files is under locks:
//
//	lock        shared by all that have the registry open, exclusive to sweep
//	tags.lock   exclusive while tags are set
//	in-use      there while open; found at a start, a process has died
//	docker/     the storage of the distribution project
type embedded struct {
	root     string
	address  string
	username string
	password string // of this process; requests of others are refused

	app    *handlers.App
	server *http.Server
	lock   *os.File
	ctx    context.Context // carries the logger
	using  sync.RWMutex    // held by pushes, and alone by Sweep
	failed atomic.Bool     // a write did, and may have left a part
}

const embeddedUser = "vauban"

// startEmbedded serves the registry below stateDir on a free loopback port.
func startEmbedded(ctx context.Context, stateDir string, log *slog.Logger) (_ *embedded, err error) {
	if stateDir == "" {
		return nil, errors.New("opening the embedded registry: no state directory given")
	}
	e := &embedded{
		root:     filepath.Join(stateDir, "registry"),
		username: embeddedUser,
		password: rand.Text(),
		ctx:      withLogrus(context.WithoutCancel(ctx), log),
	}
	defer func() {
		if err != nil {
			_ = e.close()
			err = fmt.Errorf("opening the embedded registry in %q: %w", e.root, err)
		}
	}()
	if err := os.MkdirAll(e.root, 0o700); err != nil {
		return nil, err
	}
	if err := e.enter(ctx); err != nil {
		return nil, err
	}
	return e, e.serve(ctx, log)
}

func (e *embedded) serve(ctx context.Context, log *slog.Logger) error {
	// Only the loopback address: other machines cannot reach it. Other users
	// of this one, and containers whose network leads to it, lack the password.
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	e.address = listener.Addr().String()
	e.app = handlers.NewApp(e.ctx, e.configuration())
	e.server = &http.Server{
		Handler:           e.guard(e.noting(e.app)),
		BaseContext:       func(net.Listener) context.Context { return e.ctx },
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go e.server.Serve(listener)
	return nil
}

func (e *embedded) configuration() *configuration.Configuration {
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": {"rootdirectory": e.root},
		"delete":     {"enabled": true},
		// It would start within an hour and log to stderr; enter does it.
		"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
	}}
	config.HTTP.Secret = rand.Text()
	config.Catalog.MaxEntries = 1000 // what clients ask for
	return config
}

// guard lets nobody in but who has the password.
func (e *embedded) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		username, password, _ := request.BasicAuth()
		if username != e.username || subtle.ConstantTimeCompare([]byte(password), []byte(e.password)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="vauban"`)
			http.Error(w, "this registry belongs to a running vauban", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, request)
	})
}

// noting notes writes that fail, as on a full disk.
func (e *embedded) noting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method != http.MethodGet && request.Method != http.MethodHead {
			w = &statusNoted{w, &e.failed}
		}
		next.ServeHTTP(w, request)
	})
}

type statusNoted struct {
	http.ResponseWriter
	failed *atomic.Bool
}

func (w *statusNoted) WriteHeader(status int) {
	if status >= http.StatusInternalServerError {
		w.failed.Store(true)
	}
	w.ResponseWriter.WriteHeader(status)
}

// close ends the server after the requests under way.
func (e *embedded) close() error {
	var errs []error
	if e.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := e.server.Shutdown(ctx); err != nil {
			errs = append(errs, e.server.Close())
		}
		errs = append(errs, e.app.Shutdown())
	}
	if e.lock != nil {
		errs = append(errs, e.leave())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the embedded registry in %q: %w", e.root, err)
	}
	return nil
}

// enter takes the shared lock. The first to come after a process that died
// removes what that left behind.
func (e *embedded) enter(ctx context.Context) error {
	var err error
	if e.lock, err = os.OpenFile(filepath.Join(e.root, "lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	alone, err := filelock.Try(e.lock, filelock.Exclusive)
	if err != nil {
		return err
	}
	if alone {
		if _, err := os.Stat(e.marker()); err == nil {
			if err := e.tidy(); err != nil {
				return err
			}
		}
		if err := os.WriteFile(e.marker(), nil, 0o600); err != nil {
			return err
		}
	}
	return filelock.Wait(ctx, e.lock, filelock.Shared)
}

// leave gives the lock back, the last one after noting that all is well.
func (e *embedded) leave() error {
	last, err := filelock.Try(e.lock, filelock.Exclusive)
	if last {
		if e.failed.Load() {
			err = e.tidy()
		}
		if err == nil {
			err = os.Remove(e.marker())
		}
	}
	return errors.Join(err, e.lock.Close())
}

func (e *embedded) marker() string { return filepath.Join(e.root, "in-use") }

// tidy removes uploads and temporary files that nobody will finish.
func (e *embedded) tidy() error {
	return filepath.WalkDir(filepath.Join(e.root, "docker"), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "_uploads":
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, ".tmp"):
			return os.Remove(path)
		}
		return nil
	})
}
