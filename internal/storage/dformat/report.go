package dformat

import (
	"fmt"
	"strings"
)

func (d *Directory) report(f Finding) { d.Findings = append(d.Findings, f) }

// reportOverflow tells how the index was corrected or what is in doubt, and what lies in the
// file beside the records of the storages.
func (d *Directory) reportOverflow() {
	o := d.overflow
	switch {
	case len(o.doubts) > 0:
		d.reportDoubts()
	default:
		for _, problem := range o.stale {
			d.report(Finding{Severity: Warning, File: o.names.index, Problem: problem,
				Meaning: "the data file corrects the index; records that were consumed after it was written may be delivered again. " +
					"An original node may not start, or miss records"})
		}
		if o.survey != nil && o.survey.wasted > 0 {
			d.report(Finding{Severity: Info, File: o.names.data, Offset: o.survey.garbage[0].from,
				Problem: fmt.Sprintf("%d bytes are no records", o.survey.wasted),
				Meaning: "they are no part of what is to be delivered"})
		}
	}
	for _, c := range o.nameless {
		if len(o.doubts) == 0 || !o.unknown(c) {
			d.report(Finding{Severity: Info, File: o.names.data, Offset: c.first,
				Problem: c.String() + ": of no storage",
				Meaning: "they were consumed before, or belong to a channel that was removed"})
		}
	}
}

// reportDoubts tells why the overflow files are set aside.
func (d *Directory) reportDoubts() {
	o := d.overflow
	aside := Finding{Severity: Error, File: o.names.data,
		Meaning: "it is not certain which overflow records are still to be delivered, or to whom: those that are certain are loaded, " +
			"and the files are kept, " + strings.Join(d.aside, " and "),
		Remedy: "records of a file set aside are delivered once 'dmq extract' has made a dump of them in the data directory of a stopped node, " +
			"named after their storage: dmq extract overflow-aside-N.dat ID > STORAGE.rq"}
	report := func(offset int64, problem string) {
		f := aside
		f.Offset, f.Problem = offset, problem
		d.report(f)
	}
	for _, problem := range o.doubts {
		report(0, problem)
	}
	for _, problem := range o.stale {
		report(0, problem)
	}
	for _, c := range o.nameless {
		if o.unknown(c) {
			report(c.first, c.String()+": of no storage whose name is known")
		}
	}
	if o.survey == nil {
		return
	}
	for _, g := range o.survey.garbage {
		if g.to > o.settled {
			report(g.from, fmt.Sprintf("%d bytes that are no records", g.to-g.from))
		}
	}
}

// reportDump tells of damage in a dump.
func (d *Directory) reportDump(q *Queue, dump dump, aside string) {
	d.report(Finding{Severity: Error, Storage: q.Storage, File: dump.file, Offset: dump.at,
		Problem: fmt.Sprintf("damaged: %s; %d of %d records lie before that", dump.fault, dump.Records, dump.announced),
		Meaning: "the records that lie before that are loaded, and the file is kept as " + aside + ". An original node does not start",
		Remedy:  "keep the file that is set aside as long as the other records may be needed"})
}

// reportConflict tells of a dump that is not loaded.
func (d *Directory) reportConflict(storage, other, aside string) {
	d.report(Finding{Severity: Error, Storage: storage, File: DumpFile(storage),
		Problem: fmt.Sprintf("there is %s, too, and a channel that has subscribers has no records of its own", other),
		Meaning: "the dump is not loaded, but kept as " + aside + ". An original node does not start",
		Remedy:  "find out where the file comes from; to have it loaded, rename it to that of another storage, STORAGE.rq, while the node is stopped"})
}

func (c *chain) String() string {
	return fmt.Sprintf("id %d, %v, offsets %d to %d", c.id, c.Count, c.first, c.last)
}
