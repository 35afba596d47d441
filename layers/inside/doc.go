// Package inside is the program that runs inside containers, cmd/vauban-inside:
// process 1, what fills /run as a boot does, and the stand-ins for commands
// that act on a running machine, which a stage is not. It is mounted read-only
// and runs with the container's rights, on files of the image that may be
// hostile: each read has a bound and waits for nothing, see [Root].
//
// A stand-in does the part of its command that is a file, notes what it left
// out, and succeeds. What only asks, what a package's own script calls, and
// what is not root gets the real command.
//
// The program starts for every such command: it imports little.
package inside
