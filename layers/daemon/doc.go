// Package daemon runs vauban's own containerd: the vauban binary once more, as
// a child that all runs on one state directory share.
//
// Three locks keep it simple, and the kernel releases each however its holder
// ends:
//
//   - STATE/lock, flock(2), shared by every run. Who can have it exclusively
//     knows that no run lives: the daemon ends itself then, and a run of
//     another vauban version replaces it.
//   - STATE/daemon, fcntl(2), held by the daemon. It makes the daemon the only
//     one, names its pid to whoever asks, and holds its version.
//   - containerd's own, on its database.
//
// So starting needs no lock: of several daemons started at once all but one
// end at once, and every starter waits until one answers.
package daemon
