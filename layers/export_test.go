package layers

// What the tests of the outside need of those of the inside.
var (
	SparseBomb = sparse
	ZstdWindow = zstdWindow
)

// BoundImport bounds what a root filesystem unpacks to that is imported; 0 is the
// default.
func (e *Engine) BoundImport(bytes int64) { e.maxImport = bytes }
