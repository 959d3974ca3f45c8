package pages

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Whatever programs ask for, the answer is JSON: what they want, or why they do not get it.
func FuzzAPI(f *testing.F) {
	for _, seed := range []string{
		"queues|search=q&sort=-records&page=2&per=1", "queues|page=9223372036854775807&per=9223372036854775807", "queues|only=idle&sort=",
		"queue|name=q", "peek|name=q&skip=9223372036854775807&records=9223372036854775807", "peek|name=q&skip=-1",
		"clients|search=%ff&page=0&per=x", "node|", "nothing|;%zz",
	} {
		path, query, _ := strings.Cut(seed, "|")
		f.Add(path, query)
	}
	h := New(with("q"), Options{Peek: everybody})
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequest("GET", "/api/", nil)
		r.URL = &url.URL{Path: "/api/" + path, RawQuery: query}
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		switch answer.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusNotFound:
		case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			return // to the path without what is superfluous in it
		default:
			t.Fatalf("%q, %q: got status %d", path, query, answer.Code)
		}
		var found map[string]any
		if err := json.Unmarshal(answer.Body.Bytes(), &found); err != nil {
			t.Fatalf("%q, %q: %v: %q", path, query, err, answer.Body)
		}
		if _, refused := found["error"]; refused != (answer.Code != http.StatusOK) {
			t.Fatalf("%q, %q: status %d with %s", path, query, answer.Code, answer.Body)
		}
	})
}
