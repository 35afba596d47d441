// Package vault keeps what makes a machine that machine: its machine-id and its
// SSH host keys, created once, the same at every build, no other host's.
//
// An [Identity] is kept in a [Store]: files encrypted next to config.yml
// ([Local]), or a HashiCorp Vault or OpenBao server ([KV]). [Ensure] is what a
// build calls: it returns a host's identity, and creates what is missing of it.
//
// Nothing secret is in an error, and no printing, logging or encoding of a
// value of this package shows a private key.
package vault
