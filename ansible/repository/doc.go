// Package repository holds the user's git repository of playbooks: a mirror of
// it, working copies of its commits, what changed between two of them, and the
// roles and collections that a commit requires.
//
// A [Repository] is brought up to date when it is opened, and stays as it was
// then: a branch means one commit, a [Revision]. Its parts have one job each:
//
//   - a [Mirror] is the bare repository, and answers questions about commits;
//   - [Copies] are the files of commits, each a [Copy], which are removed when
//     the repository is closed;
//   - a [Galaxy] keeps what ansible-galaxy installed.
//
// What a result has read of a commit is a [Reads]; the [Changes] to another
// commit say whether they touch it.
package repository
