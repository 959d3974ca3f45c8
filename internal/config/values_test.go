package config

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

var at = place{"Server", "key"}

// The integer rules of operations spec §2.2.
func TestNumber(t *testing.T) {
	wrong := func(typ string) string {
		return "Critical Error: Configuration key 'Server:key' appears not to be of type '" + typ + "'"
	}
	small := func(n int) string {
		return fmt.Sprintf("Configuration key Server.key is smaller than allowed minimum of %d", n)
	}
	big := func(n int) string {
		return fmt.Sprintf("Configuration key Server.key is bigger than allowed maximum of %d", n)
	}
	tests := []struct {
		value string
		of    integer
		want  uint64 // two's complement
		err   string
	}{
		{"0", anyUint, 0, ""},
		{"10000", anyUshort, 10000, ""},
		{"0x1F", anyUint, 31, ""}, {"0X1f", anyUint, 31, ""}, {"0xffffffff", anyUint, math.MaxUint32, ""},
		{"0b101", anyUint, 5, ""}, {"0B101", anyUint, 5, ""},
		{"0o17", anyUint, 15, ""}, {"0O17", anyUint, 15, ""},
		{"017", anyUint, 17, ""}, {"00", anyUint, 0, ""}, {"0099", anyUint, 99, ""},
		{"+5", anyUint, 5, ""}, {" \t+ 5", anyUint, 5, ""}, {"-+5", anyUint, 5, ""}, {"-0", anyUint, 0, ""}, {"+0x10", anyUint, 16, ""},
		{"-5", anyInt, -5 & math.MaxUint64, ""}, {"- 5", anyInt, -5 & math.MaxUint64, ""}, {"+-5", anyInt, -5 & math.MaxUint64, ""}, {"-+-5", anyInt, -5 & math.MaxUint64, ""}, {"--5", anyInt, -5 & math.MaxUint64, ""},
		{"-0x10", anyInt, -16 & math.MaxUint64, ""},

		{"", anyUint, 0, wrong("uint")}, {"-", anyUint, 0, wrong("uint")}, {"0x", anyUint, 0, wrong("uint")}, {"0xg", anyUint, 0, wrong("uint")},
		{"0b2", anyUint, 0, wrong("uint")}, {"0o8", anyUint, 0, wrong("uint")}, {"ff", anyUint, 0, wrong("uint")},
		{"1_000", anyUint, 0, wrong("uint")}, {"0x1_0", anyUint, 0, wrong("uint")}, {"1,000", anyUint, 0, wrong("uint")}, {"1.000", anyUint, 0, wrong("uint")},
		{"1M", anyUint, 0, wrong("uint")}, {"1k", anyUint, 0, wrong("uint")}, {"1.5", anyUint, 0, wrong("uint")}, {"1e3", anyUint, 0, wrong("uint")},
		{"1 0", anyUint, 0, wrong("uint")}, {"5-", anyUint, 0, wrong("uint")}, {"0x-5", anyUint, 0, wrong("uint")}, {"0x 5", anyUint, 0, wrong("uint")},
		{"10\n20", anyUint, 0, wrong("uint")}, {"10000 # x", anyUint, 0, wrong("uint")}, {"\"5\"", anyUint, 0, wrong("uint")}, {"٣", anyUint, 0, wrong("uint")},

		{"65535", anyUshort, 65535, ""}, {"65536", anyUshort, 0, wrong("ushort")}, {"-1", anyUshort, 0, wrong("ushort")},
		{"4294967295", anyUint, math.MaxUint32, ""}, {"4294967296", anyUint, 0, wrong("uint")}, {"-1", anyUint, 0, wrong("uint")},
		{"2147483647", anyInt, math.MaxInt32, ""}, {"2147483648", anyInt, 0, wrong("int")},
		{"-2147483648", anyInt, math.MinInt32 & math.MaxUint64, ""}, {"-2147483649", anyInt, 0, wrong("int")},
		{"18446744073709551615", anyUlong, math.MaxUint64, ""}, {"18446744073709551616", anyUlong, 0, wrong("ulong")},
		{"99999999999999999999999", anyUlong, 0, wrong("ulong")}, {"-5", anyUlong, 0, wrong("ulong")}, {"-18446744073709551615", anyInt, 0, wrong("int")},

		{"0", anyUlong.from(1), 0, small(1)}, {"1", anyUlong.from(1), 1, ""}, {"-1", anyUlong.from(1), 0, wrong("ulong")},
		{"-2", anyInt.from(-1), 0, small(-1)}, {"-1", anyInt.from(-1), math.MaxUint64, ""},
		{"1024", anyUint.to(1024), 1024, ""}, {"1025", anyUint.to(1024), 0, big(1024)},
	}
	for _, test := range tests {
		got, err := test.of.parse(at, test.value)
		if text := fmt.Sprint(err); got != test.want || err != nil && text != test.err || err == nil && test.err != "" {
			t.Errorf("%q as %s: got %d, error %v, want %d, error %q", test.value, test.of.name, int64(got), err, int64(test.want), test.err)
		}
	}
}

func TestBoolean(t *testing.T) {
	accepted := map[string]bool{
		"true": true, "enabled": true, "on": true, "yes": true, "1": true,
		"false": false, "disabled": false, "off": false, "no": false, "0": false,
	}
	for value, want := range accepted {
		got := !want
		if err := boolean("key", &got).set(at, value); err != nil || got != want {
			t.Errorf("%q: got %v, error %v, want %v", value, got, err, want)
		}
	}
	for _, value := range []string{"TRUE", "True", "On", "YES", "2", "00", "t", "", "true # x", "\"true\""} {
		var got bool
		err := boolean("key", &got).set(at, value)
		want := "Critical Error: Configuration key 'Server:key' appears not to be of type 'bool'"
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %v, error %v, want error %q", value, got, err, want)
		}
	}
}

func TestOtherValues(t *testing.T) {
	long := strings.Repeat("x", maxSocketPath)
	var s string
	var n uint32
	var r RingKind
	tests := []struct {
		rule  string
		key   key
		value string
		err   string
	}{
		{"any text", text("key", &s), "\"a\" # b", ""},
		{"IPv4 literal", address("key", &s), "127.0.0.1", ""},
		{"all addresses", address("key", &s), "0.0.0.0", ""},
		{"host name", address("key", &s), "localhost", "Node listener IP address invalid"},
		{"IPv6", address("key", &s), "::1", "Node listener IP address invalid"},
		{"IPv4 in IPv6", address("key", &s), "::ffff:127.0.0.1", "Node listener IP address invalid"},
		{"three numbers", address("key", &s), "127.0.1", "Node listener IP address invalid"},
		{"number above 255", address("key", &s), "127.0.0.256", "Node listener IP address invalid"},
		{"address and port", address("key", &s), "127.0.0.1:80", "Node listener IP address invalid"},
		{"socket path of 107 bytes", socketPath("key", &s), long, ""},
		{"socket path of 108 bytes", socketPath("key", &s), long + "x", "Unix socket path too long: " + long + "x"},
		{"octal mode", permissions("key", &n), "0770", ""},
		{"mode with 8", permissions("key", &n), "0780", "Invalid mode for UnixSocket"},
		{"mode with sign", permissions("key", &n), "-1", "Invalid mode for UnixSocket"},
		{"mode of too many bits", permissions("key", &n), "10000", "Invalid mode for UnixSocket"},
		{"ring in a file", choice("key", &r, "kind of ring", "file", "memory"), "file", ""},
		{"ring in memory", choice("key", &r, "kind of ring", "file", "memory"), "memory", ""},
		{"ring elsewhere", choice("key", &r, "kind of ring", "file", "memory"), "Memory", "Configuration key Server.key names no kind of ring"},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			err := test.key.set(at, test.value)
			if got := fmt.Sprint(err); err != nil && got != test.err || err == nil && test.err != "" {
				t.Errorf("%q: got error %v, want %q", test.value, err, test.err)
			}
		})
	}
	if n != 0o770 {
		t.Errorf("mode: got %o, want 770", n)
	}
	if r != RingMemory {
		t.Errorf("ring: got %v, want %v", r, RingMemory)
	}
}
