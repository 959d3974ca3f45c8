package overflow

// Reserve makes room for that many more records with payloads of so many bytes in all, so
// that pushing them does not fail for lack of disk space, unless other storages take the
// room first.
func (f *File) Reserve(records int, payloads int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _, err := f.reserve(int64(records)*headerSize + payloads)
	return err
}
