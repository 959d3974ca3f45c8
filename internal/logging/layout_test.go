package logging

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

func TestLayouts(t *testing.T) {
	m := message{at, zapcore.WarnLevel, "dmqnode.main", []byte("text k=v")}
	tests := map[config.Layout]string{
		config.LayoutDate:        "2026-11-23 02:01:00,009 Warn [dmqnode.main] - text k=v",
		config.LayoutSimple:      "Warn [dmqnode.main] - text k=v",
		config.LayoutMessageOnly: "text k=v",
		config.LayoutStats:       "2026-11-23 02:01:00,009 text k=v",
	}
	for l, want := range tests {
		expect(t, "layout "+strconv.Itoa(int(l)), string(layoutOf(l)(nil, m)), want)
	}
	expect(t, "syslog", string(layoutSyslog(nil, m)), "[dmqnode.main] - text k=v")
}

func TestTimeIsLocalWithThreeDigitMilliseconds(t *testing.T) {
	tests := map[time.Duration]string{0: ",000", 9 * time.Millisecond: ",009", 73 * time.Millisecond: ",073",
		472 * time.Millisecond: ",472", time.Second - 1: ",999"}
	zone := time.Local
	defer func() { time.Local = zone }()
	time.Local = time.FixedZone("", 5*3600+1800)
	second := time.Date(2026, 11, 22, 20, 31, 0, 0, time.UTC)
	for fraction, want := range tests {
		expect(t, fraction.String(), string(appendTime(nil, second.Add(fraction))), "2026-11-23 02:01:00"+want)
	}
}

func TestMessagesStayOnTheirLine(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", ""},
		{"plain ~ text", "plain ~ text"},
		{"a\nInfo [root] - forged", `a\nInfo [root] - forged`},
		{"\r\t\x00\x1b[2J\x7f", `\r\t\x00\x1b[2J\x7f`},
		{"C1 control \u0085", `C1 control \u0085`},
		{"line separator \u2028", `line separator \u2028`},
		{"right to left \u202e", `right to left \u202e`},
		{"Grüße 漢字 🙂", "Grüße 漢字 🙂"},
		{"beyond \U000e0001", `beyond \U000e0001`},
		{"not UTF-8 \xff\xc3", `not UTF-8 \xff\xc3`},
		{"replacement \ufffd", "replacement \ufffd"},
		{`quotes " and \n stay`, `quotes " and \n stay`},
	}
	for _, test := range tests {
		expect(t, strconv.Quote(test.text), string(appendEscaped(nil, test.text)), test.want)
	}
}

func TestLoggerNamesAreEscaped(t *testing.T) {
	l := start(t, new(screen), rootFile(config.LevelInfo))
	l.Logger("storage:a\nb").Info("x")
	expect(t, "root.log", content(t, "log/root.log"), `2026-11-23 02:01:00,009 Info [storage:a\nb] - x`+"\n")
}

// pair is an object and, through its methods, what callers hand in that is not basic.
type pair struct{ A, B int }

func (p pair) MarshalLogObject(e zapcore.ObjectEncoder) error {
	e.AddInt("a", p.A)
	e.AddInt("b", p.B)
	return nil
}

type broken struct{}

func (broken) MarshalLogObject(zapcore.ObjectEncoder) error { panic("no object") }
func (broken) MarshalJSON() ([]byte, error)                 { panic("no JSON") }
func (broken) Error() string                                { panic("no text") }

type name string

func (n *name) String() string { return string(*n) }

func TestFieldsFollowTheMessage(t *testing.T) {
	tests := []struct {
		field zap.Field
		want  string
	}{
		{zap.String("k", "value"), ` k=value`},
		{zap.String("k", "Grüße"), ` k=Grüße`},
		{zap.String("k", "two words"), ` k="two words"`},
		{zap.String("k", ""), ` k=""`},
		{zap.String("k", `a"b\c=d`), ` k="a\"b\\c=d"`},
		{zap.String("k", "a\nb\xff"), ` k="a\nb\xff"`},
		{zap.String("k", "a=b"), ` k="a=b"`},
		{zap.String("a\nkey", "v"), ` a\nkey=v`},
		{zap.ByteString("k", []byte("a b")), ` k="a b"`},
		{zap.Binary("k", []byte{0, 0xff}), ` k=00ff`},
		{zap.Bool("k", true), ` k=true`},
		{zap.Bool("k", false), ` k=false`},
		{zap.Int("k", -5), ` k=-5`},
		{zap.Int8("k", -5), ` k=-5`},
		{zap.Uint64("k", 1<<64-1), ` k=18446744073709551615`},
		{zap.Uint16("k", 65535), ` k=65535`},
		{zap.Float64("k", 0.25), ` k=0.25`},
		{zap.Float32("k", 0.1), ` k=0.1`},
		{zap.Complex128("k", 1+2i), ` k=(1+2i)`},
		{zap.Duration("k", 1500*time.Millisecond), ` k=1.5s`},
		{zap.Time("k", time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)), ` k=2026-01-02T03:04:05.006Z`},
		{zap.Error(errors.New("no space left")), ` error="no space left"`},
		{zap.Error(nil), ``},
		{zap.Stringer("k", zapcore.InfoLevel), ` k=info`},
		{zap.Stringer("k", (*name)(nil)), ` k=<nil>`},
		{zap.Strings("k", []string{"a b", "c\n"}), ` k=["a b","c\n"]`},
		{zap.Ints("k", nil), ` k=[]`},
		{zap.Object("k", pair{1, 2}), ` k={"a":1,"b":2}`},
		{zap.Inline(pair{1, 2}), ` a=1 b=2`},
		{zap.Any("k", pair{1, 2}), ` k={"a":1,"b":2}`},
		{zap.Reflect("k", struct{ A string }{"<\u2028>"}), ` k={"A":"<\u2028>"}`},
		{zap.Reflect("k", nil), ` k=null`},
		{zap.Reflect("k", make(chan int, 1)), ` k=0x`},
		{zap.Namespace("k"), ``},
		{zap.Skip(), ``},
		{zap.Object("k", broken{}), ` k="PANIC=no object"`},
		{zap.Error(broken{}), ` error="%!v(PANIC=Error method: no text)"`},
		{zap.Reflect("k", broken{}), ` k="%!v(PANIC=Error method: no text)"`},
		{zapcore.Field{Key: "k"}, ` k="PANIC=unknown field type: {k 0 0  <nil>}"`},
	}
	for _, test := range tests {
		got := string(appendFields(nil, []zap.Field{test.field}))
		if strings.HasSuffix(test.want, "0x") {
			got = got[:min(len(got), len(test.want))]
		}
		expect(t, "field", got, test.want)
	}
}

func TestFieldsOfWithComeFirstAndStaySeparate(t *testing.T) {
	l := start(t, new(screen), logger("", config.LevelInfo, "root", false))
	log := l.Logger("x").With(zap.Int("a", 1))
	first, second := log.With(zap.Int("b", 2)), log.With(zap.Int("b", 3))
	first.Info("one", zap.Int("c", 4))
	second.Info("two")
	log.Info("three")
	expect(t, "log", content(t, "log/root"), "one a=1 b=2 c=4\ntwo a=1 b=3\nthree a=1\n")
}

func FuzzLineIsOneLine(f *testing.F) {
	f.Add("logger", "message", "key", "value")
	f.Add("a\nb", "\x1b\u2028", "\xff", "\" = \\")
	f.Fuzz(func(t *testing.T, logger, text, key, value string) {
		body := appendEscaped(nil, text)
		body = appendFields(body, []zap.Field{zap.String(key, value), zap.Any(key, []string{value}), zap.Error(errors.New(value))})
		line := string(layoutDate(nil, message{at, zapcore.InfoLevel, logger, body}))
		if !utf8.ValidString(line) {
			t.Errorf("got %q, want UTF-8", line)
		}
		for _, r := range line {
			if !strconv.IsPrint(r) {
				t.Errorf("got %q, want nothing that doesn't print", line)
			}
		}
	})
}
