package ansible

import "embed"

// collection is the Ansible collection vauban.build.
//
//go:embed ansible_collections/vauban/build/plugins
var collection embed.FS
