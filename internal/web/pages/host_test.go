package pages

import (
	"os"
	"testing"
)

func TestHosts(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		host  string
		hosts []string
		want  bool
	}{
		{"", nil, true}, // HTTP/1.0
		{"127.0.0.1:10080", nil, true},
		{"10.1.2.3", nil, true},
		{"[::1]:10080", nil, true},
		{"localhost:10080", nil, true},
		{"LOCALHOST", nil, true},
		{machine, nil, true},
		{machine + ":10080", nil, true},
		{machine + ".attacker.example", nil, false},
		{"attacker.example", nil, false},
		{"attacker.example:10080", nil, false},
		{"127.0.0.1.attacker.example", nil, false},
		{"queue-1.example", []string{"other.example", "queue-1.example"}, true},
		{"Queue-1.example.:10080", []string{"queue-1.example"}, true},
		{"queue-2.example", []string{"queue-1.example"}, false},
		{"anything.example", []string{"*"}, true},
	} {
		if got := MayAnswer(test.host, test.hosts); got != test.want {
			t.Errorf("host %q, allowed besides: %q: got %v, want %v", test.host, test.hosts, got, test.want)
		}
	}
}
