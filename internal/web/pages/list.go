package pages

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// list is what a request wants to see of many rows: those whose name has a text, in an order, a
// page at a time.
type list struct {
	path   string
	search string
	only   string // a kind of rows; "" = all
	sort   string // the name of a column
	down   bool   // the largest first
	page   int    // from 1 on
	per    int    // rows on a page

	Found, Total int
}

const (
	usualPerPage = 50
	mostPerPage  = 10_000
)

// column is something to sort by.
type column[T any] struct {
	name, title, class string
	compare            func(a, b *T) int
	down               bool // the largest first, unless asked for otherwise
}

// newList reads what a request wants; the first column is the order if it does not say.
func newList[T any](r *http.Request, columns []column[T], order string, down bool) (list, error) {
	q := r.URL.Query()
	l := list{path: strings.TrimPrefix(r.URL.Path, "/"), search: q.Get("search"), only: q.Get("only"), sort: order, down: down, page: 1, per: usualPerPage}
	if s := q.Get("sort"); s != "" {
		l.sort, l.down = strings.TrimPrefix(s, "-"), strings.HasPrefix(s, "-")
	}
	if !slices.ContainsFunc(columns, func(c column[T]) bool { return c.name == l.sort }) {
		return l, fmt.Errorf("%w: there is no column %q to sort by", errBad, l.sort)
	}
	for name, number := range map[string]*int{"page": &l.page, "per": &l.per} {
		if text := q.Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return l, fmt.Errorf("%w: %s = %q, want a number from 1 on", errBad, name, text)
			}
			*number = n
		}
	}
	l.per = min(l.per, mostPerPage)
	return l, nil
}

// of returns the rows to be shown.
func of[T any](l *list, all []T, columns []column[T], name func(*T) string) []T {
	l.Total = len(all)
	if l.search != "" {
		search := strings.ToLower(l.search)
		all = slices.DeleteFunc(all, func(row T) bool { return !strings.Contains(strings.ToLower(name(&row)), search) })
	}
	l.Found = len(all)
	compare := columns[slices.IndexFunc(columns, func(c column[T]) bool { return c.name == l.sort })].compare
	slices.SortFunc(all, func(a, b T) int {
		order := compare(&a, &b)
		if l.down {
			order = -order
		}
		if order == 0 {
			order = strings.Compare(name(&a), name(&b))
		}
		return order
	})
	l.page = min(l.page, l.Pages())
	from := min(len(all), (l.page-1)*l.per)
	return all[from:min(len(all), from+l.per)]
}

// Pages is how many there are.
func (l *list) Pages() int { return max(1, (l.Found+l.per-1)/l.per) }

// Page is the one that is shown.
func (l *list) Page() int { return l.page }

// Search is the text that names have to have.
func (l *list) Search() string { return l.search }

// Only is the kind of rows that are shown; "" = all.
func (l *list) Only() string { return l.only }

// Sort is the order as it is asked for.
func (l *list) Sort() string {
	if l.down {
		return "-" + l.sort
	}
	return l.sort
}

// Rows tells which rows are shown.
func (l *list) Rows() string {
	switch {
	case l.Total == 0:
		return "none"
	case l.Found == 0:
		return fmt.Sprintf("none of %d", l.Total)
	case l.Found <= l.per && l.Found == l.Total:
		return fmt.Sprint(l.Total)
	}
	from := (l.page-1)*l.per + 1
	text := fmt.Sprintf("%d to %d of %d", from, min(l.Found, from+l.per-1), l.Found)
	if l.Found < l.Total {
		text += fmt.Sprintf(" found, %d in all", l.Total)
	}
	return text
}

// First, Previous, Next and Last are links to other pages, "" if there are none.
func (l *list) First() string    { return l.to(1, l.page > 2) }
func (l *list) Previous() string { return l.to(l.page-1, l.page > 1) }
func (l *list) Next() string     { return l.to(l.page+1, l.page < l.Pages()) }
func (l *list) Last() string     { return l.to(l.Pages(), l.page < l.Pages()-1) }

func (l *list) to(page int, there bool) string {
	if !there {
		return ""
	}
	return l.link(l.Sort(), page)
}

func (l *list) link(sort string, page int) string {
	q := url.Values{"sort": {sort}}
	if l.search != "" {
		q.Set("search", l.search)
	}
	if l.only != "" {
		q.Set("only", l.only)
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if l.per != usualPerPage {
		q.Set("per", strconv.Itoa(l.per))
	}
	return l.path + "?" + q.Encode()
}

// head is a column's place in the head of a table.
type head struct {
	Title, Class, Link string
	Order              string // for aria-sort: ascending, descending or none
}

// heads returns the head of a table: links that sort by a column, the other way round if it is
// sorted by that.
func heads[T any](l *list, columns []column[T]) (all []head) {
	for _, c := range columns {
		h := head{c.title, c.class, "", "none"}
		down := c.down
		if c.name == l.sort {
			h.Order = map[bool]string{false: "ascending", true: "descending"}[l.down]
			down = !l.down
		}
		h.Link = l.link(map[bool]string{true: "-"}[down]+c.name, 1)
		all = append(all, h)
	}
	return all
}
