package lineage

// Shape returns the shape of a text, if it has one.
func Shape(text string) (string, bool) {
	buf, ok := shape(nil, text)
	return string(buf), ok
}

// Cached is about how many bytes the reader's cache holds.
func (r *Reader) Cached() int {
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	n := 0
	for _, m := range []map[key]entryOf{r.cache.young, r.cache.old} {
		for k, e := range m {
			n += e.reading.bytes() + len(k.text) + len(k.settings) + 200
		}
	}
	return n
}
