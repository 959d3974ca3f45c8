package names

import "testing"

func TestFailedChannel(t *testing.T) {
	for _, c := range []struct {
		pattern         FailedChannel
		valid           bool
		channel, failed string
	}{
		{"{channel}-failed", true, "jobs", "jobs-failed"},
		{"failed-{channel}", true, "jobs", "failed-jobs"},
		{"dead", true, "jobs", "dead"},
		{"{channel}", false, "jobs", "jobs"},
		{"{channel}{channel}", false, "a", "aa"},
		{"", false, "jobs", ""},
		{"dead letters", false, "jobs", "dead letters"},
		{"{channel}@failed", false, "jobs", "jobs@failed"},
	} {
		if got := c.pattern.Of(c.channel); got != c.failed {
			t.Errorf("%q: of %s: got %q, want %q", c.pattern, c.channel, got, c.failed)
		}
		if err := c.pattern.Check(); (err == nil) != c.valid {
			t.Errorf("%q: got error %v, want valid: %v", c.pattern, err, c.valid)
		}
		if c.valid && (!c.pattern.Is(c.failed) || c.pattern.Is(c.channel)) {
			t.Errorf("%q: %s is one: %v, %s: %v", c.pattern, c.failed, c.pattern.Is(c.failed), c.channel, c.pattern.Is(c.channel))
		}
	}
	if FailedChannel("{channel}-failed").Is("-failed") {
		t.Error("-failed is the failed channel of a channel without a name")
	}
}
