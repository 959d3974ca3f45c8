package pages

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// Every field of the API is in its manual.
func TestFieldsOfTheManual(t *testing.T) {
	manual, err := os.ReadFile("../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[reflect.Type]bool)
	var check func(reflect.Type)
	check = func(of reflect.Type) {
		for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || seen[of] || of.PkgPath() == "time" {
			return
		}
		seen[of] = true
		for i := range of.NumField() {
			field := of.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name != "" && !strings.Contains(string(manual), "`"+name+"`") {
				t.Errorf("docs/api.md does not explain %s, of %v", name, of)
			}
			check(field.Type)
		}
	}
	for _, answer := range []any{Node{}, QueueList{}, Detail{}, RecordList{}, ClientList{}} {
		check(reflect.TypeOf(answer))
	}
}
