// Package layers is the engine: it applies steps to images and commits what
// each step changed as one OCI image layer, in containerd.
//
// The words, as everywhere in vauban:
//
//	image     – a value: manifest, configuration and layers in containerd's
//	            content store, unpacked as snapshots. Applying a step to an
//	            image gives another image; nothing is edited in place.
//	snapshot  – the unpacked form of a chain of layers. An active snapshot has
//	            an upperdir, where overlayfs keeps what a container changed.
//	            Packing an image gives its snapshots up; using it unpacks it.
//	container – a running root filesystem: an active snapshot mounted, a small
//	            init as process 1, its own namespaces and network.
//	step      – what changes containers: an Ansible playbook, a Dockerfile.
//	run       – one vauban process. Its lease keeps all it made until it ends,
//	            and its lock tells others whether it still lives.
//
// [Engine.Apply] starts a container on the parent image of each target, lets
// the [Step] work on all of them at once, stops them, and turns each upperdir
// into a layer: the cost follows what changed, never what exists. The
// snapshot is committed under the layer's chain ID, so nothing is unpacked
// twice.
//
// The engine must run as root on the machine whose containerd it uses: it
// reads upperdirs and enters namespaces.
package layers
