package logging

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap/zapcore"
)

// appendFields appends " key=value" for each field. A value that is empty or contains a
// blank, quote, backslash, equals sign or anything that does not print is quoted like a Go
// string; lists and objects are JSON; bytes are hexadecimal; a namespace has no place in a
// line and is left out.
func appendFields(dst []byte, fields []zapcore.Field) []byte {
	for _, f := range fields {
		if f.Type != zapcore.SkipType && f.Type != zapcore.NamespaceType {
			dst = appendField(dst, f)
		}
	}
	return dst
}

func appendField(dst []byte, f zapcore.Field) []byte {
	switch f.Type {
	case zapcore.StringType:
		return appendText(appendKey(dst, f.Key), f.String)
	case zapcore.ByteStringType:
		return appendText(appendKey(dst, f.Key), string(f.Interface.([]byte)))
	case zapcore.BinaryType:
		return hex.AppendEncode(appendKey(dst, f.Key), f.Interface.([]byte))
	case zapcore.BoolType:
		return strconv.AppendBool(appendKey(dst, f.Key), f.Integer == 1)
	case zapcore.Int64Type, zapcore.Int32Type, zapcore.Int16Type, zapcore.Int8Type:
		return strconv.AppendInt(appendKey(dst, f.Key), f.Integer, 10)
	case zapcore.Uint64Type, zapcore.Uint32Type, zapcore.Uint16Type, zapcore.Uint8Type, zapcore.UintptrType:
		return strconv.AppendUint(appendKey(dst, f.Key), uint64(f.Integer), 10)
	case zapcore.Float64Type:
		return strconv.AppendFloat(appendKey(dst, f.Key), math.Float64frombits(uint64(f.Integer)), 'g', -1, 64)
	case zapcore.Float32Type:
		value := float64(math.Float32frombits(uint32(f.Integer)))
		return strconv.AppendFloat(appendKey(dst, f.Key), value, 'g', -1, 32)
	case zapcore.DurationType:
		return append(appendKey(dst, f.Key), time.Duration(f.Integer).String()...)
	case zapcore.ErrorType, zapcore.StringerType:
		return appendText(appendKey(dst, f.Key), fmt.Sprint(f.Interface)) // survives a panic in the method
	default:
		return appendComposite(dst, f)
	}
}

// appendComposite appends what zap flattens itself: objects, lists, times, arbitrary
// values. An inlined object gives one key=value for each of its keys.
func appendComposite(dst []byte, f zapcore.Field) []byte {
	values := flatten(f)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		dst = appendValue(appendKey(dst, key), values[key])
	}
	return dst
}

// flatten lets the field describe itself; code of the caller that panics there becomes
// the value instead of ending the node.
func flatten(f zapcore.Field) (values map[string]any) {
	defer func() {
		if failure := recover(); failure != nil {
			values = map[string]any{f.Key: fmt.Sprintf("PANIC=%v", failure)}
		}
	}()
	encoder := zapcore.NewMapObjectEncoder()
	f.AddTo(encoder)
	return encoder.Fields
}

func appendValue(dst []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return appendText(dst, v)
	case time.Time:
		return v.AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	}
	text, err := asJSON(value)
	if err != nil {
		return appendText(dst, fmt.Sprint(value))
	}
	return appendEscaped(dst, text)
}

func asJSON(value any) (text string, err error) {
	defer func() {
		if failure := recover(); failure != nil {
			err = fmt.Errorf("PANIC=%v", failure)
		}
	}()
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(value)
	return string(bytes.TrimSuffix(buf.Bytes(), []byte("\n"))), err
}

func appendKey(dst []byte, key string) []byte {
	return append(appendEscaped(append(dst, ' '), key), '=')
}

func appendText(dst []byte, text string) []byte {
	if needsQuotes(text) {
		return strconv.AppendQuote(dst, text)
	}
	return append(dst, text...)
}

func needsQuotes(text string) bool {
	for _, r := range text {
		switch {
		case r == ' ', r == '"', r == '=', r == '\\', r == '\uFFFD', !strconv.IsPrint(r):
			return true
		}
	}
	return text == ""
}
