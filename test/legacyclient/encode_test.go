package legacyclient

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestRequestsHaveTheBytesOfTheVectors(t *testing.T) {
	tests := []struct {
		vector string
		got    []byte
		want   string
	}{
		{"V01", Request(Push, "test", "abc"), "01000000 0400000000000000 74657374 0300000000000000 616263"},
		{"V04", Request(Pop, "nochan"), "02000000 0600000000000000 6e6f6368616e"},
		{"V11", Request(GetNumConnections), "08000000"},
		{"V12", Request(RemoveChannel, "test"), "0c000000 0400000000000000 74657374"},
		{"V15", ListRequest(PushMulti, []string{"m1", "m2"}, "val"), "09000000 0200000000000000 6d31 0200000000000000 6d32 0000000000000000 0300000000000000 76616c"},
		{"V21", Request(Produce, "p1"), "0a000000 0200000000000000 7031"},
		{"V21", Records("r1", "r2", ""), "0200000000000000 7231 0200000000000000 7232 0000000000000000"},
		{"V25", ListRequest(ProduceMulti, nil), "0b000000 0000000000000000"},
		{"V35", Request(Consume, "c1"), "06000000 0200000000000000 6331"},
		{"O02", AppendLength(nil, 10485761), "0100a00000000000"},
		{"V11", AppendStatus(nil, NotSupported), "96010000"},
	}
	for _, test := range tests {
		if got, want := hex.EncodeToString(test.got), strings.ReplaceAll(test.want, " ", ""); got != want {
			t.Errorf("%s: got %s, want %s", test.vector, got, want)
		}
	}
}
