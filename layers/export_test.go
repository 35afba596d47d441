package layers

// What the tests of the outside need of those of the inside.
var (
	SparseBomb = sparse
	ZstdWindow = zstdWindow
)
