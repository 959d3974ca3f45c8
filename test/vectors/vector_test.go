package vectors

import (
	"bytes"
	"strings"
	"testing"
)

// notation returns the steps as the file writes them, without the line numbers.
func notation(v Vector) string {
	var lines []string
	for _, step := range v.Steps {
		_, text, _ := strings.Cut(step.String(), ": ")
		lines = append(lines, text)
	}
	return strings.Join(lines, "\n")
}

func TestJoined(t *testing.T) {
	tests := []struct{ name, steps, want string }{
		{"sends go before the answers", "1> 01\n1< 02\n1> 03\n1< 04", "1> 0103\n1< 0204"},
		{"another connection keeps its place", "1> 01\n1< 02\n2> 11\n2< 12\n1> 03\n1< 04", "1> 01\n1< 02\n2> 11\n2< 12\n1> 03\n1< 04"},
		{"NONE between sends goes", "1> 01\n1<NONE\n1> 03\n1< 04", "1> 0103\n1< 04"},
		{"NONE after everything stays", "1> 01\n1< 02\n1> 03\n1<NONE", "1> 0103\n1< 02\n1<NONE"},
		{"NONE before another connection stays", "1> 01\n1<NONE\n2> 11\n1> 03", "1> 01\n1<NONE\n2> 11\n1> 03"},
		{"EOF comes last", "1> 01\n1< 02\n1> 03\n1<EOF", "1> 0103\n1< 02\n1<EOF"},
		{"answers before CLOSE are awaited", "1> 01\n1< 02\n1>CLOSE", "1> 01\n1< 02\n1>CLOSE"},
		{"FIN keeps its place", "1> 01\n1> 02\n1>FIN\n1< 03\n1<EOF", "1> 0102\n1>FIN\n1< 03\n1<EOF"},
		{"answer first", "1< 01\n1> 02\n1< 03", "1> 02\n1< 0103"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := parseOne(t, "V01 a\n"+test.steps)
			if got := notation(v.Joined()); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
			if got := notation(v); got != test.steps {
				t.Errorf("the vector itself became\n%s\nwant\n%s", got, test.steps)
			}
		})
	}
}

func TestSplitSendsSingleBytes(t *testing.T) {
	v := parseOne(t, "V01 a\n1> 010203\n1< 0405\n1> 06\n1>FIN").Split()
	if got, want := notation(v), "1> 01\n1> 02\n1> 03\n1< 0405\n1> 06\n1>FIN"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSplitKeepsLongDataWhole(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	cut := pieces(data)
	if len(cut) < 20 {
		t.Errorf("got %d pieces of %d bytes, want many", len(cut), len(data))
	}
	if got := bytes.Join(cut, nil); !bytes.Equal(got, data) {
		t.Errorf("the pieces make %s, want %s", abbreviated(got), abbreviated(data))
	}
}
