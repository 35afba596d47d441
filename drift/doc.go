// Package drift tells what a running machine changed since it booted.
//
// A machine's root is an overlay whose upper directory holds just that. Its
// tar, as GNU tar writes it with extended attributes, is compared with what
// the machine booted. The tar comes from a machine that may be in other hands:
// nothing of it is unpacked.
package drift
