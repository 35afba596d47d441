// Package scan looks for given strings, such as secrets, in the files of a
// layer while it passes by, and takes them out of texts.
package scan
