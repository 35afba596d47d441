// Package aptpool keeps what apt fetched in one container for the next ones.
//
// A container is not trusted: it can leave any file under any name, date it as
// it likes, and write to each file that it was given. So a package is kept
// only when lists name it with its SHA256 and size, and lists only when a
// trusted key signed them, for the suite that their name says. Both are copied
// from a container, never linked, and are given to one as the lower directory
// of an overlay mount, which it cannot write to.
//
// A folder of a [Pool] has
//
//	pool/SHA256_NAME_VERSION_ARCHITECTURE.deb
//	sources/KEY/lists/…        apt's lists, by the sources they are of
//	sources/KEY/named          the packages in them
//	sources/KEY/until          when they expire
//	sources/KEY/complete       there where all of the sources are among them
//	views/CONTAINER/archives   links to what a container is given
//	views/CONTAINER/lists
package aptpool
