package storage

import "testing"

// popRuns pushes records to a channel and pops each.
func popRuns(t *testing.T, cs *Channels, records ...string) (runs []*Run) {
	t.Helper()
	push(t, cs, "c", records...)
	c := openChannel(t, cs, "c")
	defer c.Commit()
	for range records {
		run, err := c.Pop(false)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	return runs
}

func rest(t *testing.T, cs *Channels) (records []string) {
	t.Helper()
	c := openChannel(t, cs, "c")
	defer c.Commit()
	for {
		run, err := c.Pop(false)
		if err != nil {
			t.Fatal(err)
		}
		if run == nil {
			return records
		}
		records = append(records, string(run.Payload()))
	}
}

func TestRunsCountAsDeliveredAsFarAsTheOutputIsSent(t *testing.T) {
	type added struct {
		run int
		end uint64
	}
	for _, c := range []struct {
		what string
		add  []added
		sent []uint64 // the last one when the output breaks
		want string
	}{
		{"nothing sent", []added{{0, 10}, {1, 20}, {2, 30}}, []uint64{0}, "a b c"},
		{"one byte is missing", []added{{0, 10}, {1, 20}, {2, 30}}, []uint64{9}, "a b c"},
		{"the first one sent", []added{{0, 10}, {1, 20}, {2, 30}}, []uint64{10}, "b c"},
		{"bit by bit", []added{{0, 10}, {1, 20}, {2, 30}}, []uint64{5, 10, 12, 20, 29}, "c"},
		{"all sent", []added{{0, 10}, {1, 20}, {2, 30}}, []uint64{40}, ""},
		{"runs of the same end", []added{{0, 10}, {1, 10}, {2, 30}}, []uint64{10}, "c"},
		{"added out of order", []added{{2, 30}, {0, 10}, {1, 20}}, []uint64{20}, "c"},
		{"behind 2^63", []added{{0, 1<<63 - 1}, {1, 1<<63 + 1}, {2, 1<<63 + 2}}, []uint64{1 << 63}, "b c"},
	} {
		t.Run(c.what, func(t *testing.T) {
			cs := newTestChannels(t, 1000)
			runs := popRuns(t, cs, "a", "b", "c")
			var s Sending
			for _, a := range c.add {
				s.Add(runs[a.run], a.end)
			}
			last := len(c.sent) - 1
			for _, sent := range c.sent[:last] {
				s.Sent(sent)
			}
			s.Broken(c.sent[last])
			wantRecords(t, "given back", rest(t, cs), c.want)
			s.Broken(1 << 40) // nothing is left to settle
		})
	}
}
