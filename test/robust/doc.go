// Package robust ends runs of the program at moments that nobody chose, lets
// several run at once, and takes registries and disks away from them. What a
// run may never leave behind is looked for each time.
package robust
