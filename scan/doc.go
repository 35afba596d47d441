// Package scan looks for given strings, such as secrets, in the files of a
// layer while it passes by.
package scan
