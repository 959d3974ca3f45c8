package vectors

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

func parseOne(t *testing.T, text string) Vector {
	t.Helper()
	vectors, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 1 {
		t.Fatalf("got %d vectors, want 1", len(vectors))
	}
	return vectors[0]
}

func TestParse(t *testing.T) {
	got := parseOne(t, `
# a comment
V01 push-ok [GO] [D] [skip: no reason] [Server.port = 7]
1> 01000000 0100
  2< c8*3 00

1<NONE
1>FIN
2<EOF
2>CLOSE`)
	want := Vector{
		ID: "V01", Name: "push-ok", GO: true, D: true, Skip: "no reason",
		Settings: map[string]string{"Server.port": "7"},
		Steps: []Step{
			{Line: 4, Conn: 1, Action: Send, Data: []byte{1, 0, 0, 0, 1, 0}},
			{Line: 5, Conn: 2, Action: Expect, Data: []byte{0xc8, 0xc8, 0xc8, 0}},
			{Line: 7, Conn: 1, Action: ExpectNone},
			{Line: 8, Conn: 1, Action: Finish},
			{Line: 9, Conn: 2, Action: ExpectEOF},
			{Line: 10, Conn: 2, Action: Close},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseSeparatesVectors(t *testing.T) {
	vectors, err := Parse(strings.NewReader("V01 a\n1> 00\nV02 b\n1> 01\n1> 02\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 2 || len(vectors[0].Steps) != 1 || len(vectors[1].Steps) != 2 {
		t.Errorf("got %+v, want V01 with one step and V02 with two", vectors)
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"step before the first vector", "1> 00", "line 1: step before"},
		{"odd number of digits", "V01 a\n1> 000", `line 2: field "000"`},
		{"no digits", "V01 a\n1> xy", `line 2: field "xy"`},
		{"no bytes", "V01 a\n1> ", "line 2: no bytes"},
		{"misspelt action", "V01 a\n1<NOTHING", `line 2: field "NOTHING"`},
		{"action in the wrong direction", "V01 a\n1<FIN", `line 2: field "FIN"`},
		{"repeat without a count", "V01 a\n1> 00*", `field "00*": want one byte`},
		{"repeat nothing", "V01 a\n1> 00*0", `field "00*0": want one byte`},
		{"repeat two bytes", "V01 a\n1> 0000*2", `field "0000*2": want one byte`},
		{"repeat too often", "V01 a\n1> 00*99999999999", "want one byte * 1 to"},
		{"neither head nor step", "V01 a\n1= 00", "line 2: \"1= 00\" is neither"},
		{"unknown mark", "V01 a [X]\n1> 00", "line 1: unknown mark [X]"},
		{"same id again", "V01 a\n1> 00\nV01 b\n1> 00", "line 3: vector V01 for the second time"},
		{"vector without a step", "V01 a\nV02 b\n1> 00", "line 2: vector V01 ends without a step"},
		{"last vector without a step", "V01 a", "line 1: vector V01 ends without a step"},
		{"send after FIN", "V01 a\n1>FIN\n1> 00", "line 3: send on connection 1 after"},
		{"send after CLOSE", "V01 a\n1>CLOSE\n1> 00", "line 3: send on connection 1 after"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			vectors, err := Parse(strings.NewReader(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %+v, error %v; want an error with %q", vectors, err, test.want)
			}
		})
	}
}

func TestDataFileHasEveryVectorOfTheSpecification(t *testing.T) {
	file, err := os.Open("testdata/legacy.vectors")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	vectors, err := Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, v := range vectors {
		got = append(got, v.ID)
	}
	for i := 1; i <= 42; i++ {
		want = append(want, fmt.Sprintf("V%02d", i))
	}
	for i := 1; i <= 18; i++ {
		want = append(want, fmt.Sprintf("O%02d", i))
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
