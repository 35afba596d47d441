package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// NewHandler serves the regular files below root, with ranges: an interrupted
// download goes on where it stopped. Directories are not listed, and no link
// leads out of root.
func NewHandler(root *os.Root, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		file, err := root.OpenFile(strings.TrimPrefix(path.Clean(r.URL.Path), "/"),
			os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe must not hold it
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil || !info.Mode().IsRegular() {
			http.NotFound(w, r)
			return
		}
		log.Debug("serving", "path", r.URL.Path, "range", r.Header.Get("Range"), "to", r.RemoteAddr)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", info.ModTime(), file)
	})
}

// Serve serves the published tree on the listener until ctx ends, then gives
// running downloads a moment.
func Serve(ctx context.Context, listener net.Listener, tree string, log *slog.Logger) error {
	root, err := os.OpenRoot(tree)
	if err != nil {
		listener.Close()
		return fmt.Errorf("serving %q: %w", tree, err)
	}
	defer root.Close()
	return handle(ctx, listener, NewHandler(root, log), log)
}

func handle(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second, // requests have no bodies
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	listener = &boundedListener{Listener: listener, log: log}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	return nil
}

// scratchPath is where the files that one boot needs besides the published
// ones are served; no master has such a name.
const scratchPath = "/.boot/"

// serveMachine serves the published tree, and the directory scratch below
// scratchPath, to the machine of a network, until ctx ends or the returned
// function is called.
func serveMachine(ctx context.Context, n *network, tree, scratch string, log *slog.Logger) (stop func(), err error) {
	published, err := os.OpenRoot(tree)
	if err != nil {
		return nil, err
	}
	own, err := os.OpenRoot(scratch)
	if err != nil {
		return nil, errors.Join(err, published.Close())
	}
	listener, err := n.listen("127.0.0.1:80")
	if err != nil {
		return nil, errors.Join(err, published.Close(), own.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/", NewHandler(published, log))
	mux.Handle(scratchPath, http.StripPrefix(scratchPath, NewHandler(own, log)))
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer published.Close()
		defer own.Close()
		if err := handle(ctx, listener, mux, log); err != nil {
			log.Error("serving to the machine", "error", err)
		}
	}()
	return func() { cancel(); <-done }, nil
}
