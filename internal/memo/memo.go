// Package memo computes values once for each key.
package memo

import "sync"

// Memo computes something once for each key, also when asked by several
// goroutines at once. Its zero value is empty. An error is kept too.
type Memo[K comparable, V any] struct {
	mu   sync.Mutex
	once map[K]func() (V, error)
}

// Get gives the value of a key, computed by the first caller's function.
func (m *Memo[K, V]) Get(key K, compute func() (V, error)) (V, error) {
	m.mu.Lock()
	if m.once == nil {
		m.once = map[K]func() (V, error){}
	}
	once, ok := m.once[key]
	if !ok {
		once = sync.OnceValues(compute)
		m.once[key] = once
	}
	m.mu.Unlock()
	return once()
}
