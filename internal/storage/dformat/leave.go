package dformat

import "fmt"

// Leave takes a queue out that can't be loaded because there is the storage other, already: its
// dump will be set aside. If it has records in the overflow, too, that is an error.
func (d *Directory) Leave(q *Queue, other string) error {
	if q.ID != 0 {
		return fmt.Errorf("the overflow index %s has records of storage %s, but there is %s, too, and a channel that has subscribers "+
			"has no records of its own; to do: find out where the files come from, and move those of one of them out of the directory",
			d.dir.Path(indexName), q.Storage, other)
	}
	d.reportConflict(q, other, d.setAside(DumpFile(q.Storage)))
	for i := range d.Queues {
		if d.Queues[i] == q {
			d.Queues = append(d.Queues[:i], d.Queues[i+1:]...)
			break
		}
	}
	return nil
}

// MadeByStop reports whether a clean stop that leaves dumps of these storages makes a file of
// that name, temporarily or for good.
func MadeByStop(name string, storages map[string]bool) bool {
	stem, suffix := split(name)
	return Temporary(name) || name == dataName || name == indexName || suffix == dumpSuffix && storages[stem]
}
