package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
)

var (
	headStyle  = lipgloss.NewStyle().Reverse(true)
	errorStyle = lipgloss.NewStyle().Foreground(lipgloss.Red)
	dimStyle   = lipgloss.NewStyle().Faint(true)
	busyStyle  = lipgloss.NewStyle().Bold(true)
	plainStyle = lipgloss.NewStyle()
)

// Options say what is shown.
type Options struct {
	Interval time.Duration // between two looks at the nodes
	Timeout  time.Duration // for the answer of a node
	Order    Order
	Filter   string
}

// Live shows the nodes on a terminal, until the user quits or ctx ends.
func Live(ctx context.Context, nodes []string, options Options, in io.Reader, out io.Writer) error {
	m := &live{ctx: ctx, nodes: nodes, Options: options, width: 80, height: 24}
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out)).Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// subject is what the screen is about.
type subject int

const (
	ofQueues subject = iota
	ofNodes
	ofHelp
)

// live is the model of the program: what was seen last, and what of it is shown.
type live struct {
	Options
	ctx   context.Context
	nodes []string

	samples       []Sample
	state         State // with all queues
	shown         State // with those that are shown, in their order
	at            time.Time
	about         subject
	typing        bool // the filter
	top           int  // first line of the list that is shown
	width, height int
}

// sampled is the message that the nodes were asked; due that it is time to ask them.
type (
	sampled []Sample
	due     struct{}
)

func (m *live) Init() tea.Cmd { return m.scrape }

func (m *live) scrape() tea.Msg {
	ctx, cancel := context.WithTimeout(m.ctx, m.Timeout)
	defer cancel()
	return sampled(Scrape(ctx, m.nodes))
}

func (m *live) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case sampled:
		m.state = NewState(m.samples, msg)
		m.samples, m.at = msg, time.Now()
		m.choose()
		return m, tea.Tick(m.Interval, func(time.Time) tea.Msg { return due{} })
	case due:
		return m, m.scrape
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.scroll(0)
	case tea.KeyPressMsg:
		if m.typing {
			m.edit(msg)
			return m, nil
		}
		return m, m.key(msg.String())
	}
	return m, nil
}

// choose takes from the state what is to be shown. Nodes that are away come first.
func (m *live) choose() {
	m.shown = m.state.Filter(m.Filter)
	m.shown.Sort(m.Order)
	m.shown.Nodes = slices.Clone(m.state.Nodes)
	slices.SortStableFunc(m.shown.Nodes, func(a, b Node) int {
		switch {
		case a.Error != "" && b.Error == "":
			return -1
		case a.Error == "" && b.Error != "":
			return 1
		}
		return 0
	})
	m.scroll(0)
}

const help = `q         quit
s  S      sort by the next figure, by the one before
/         show only queues with a text in their names; Esc shows all
n         nodes, or queues
↑ ↓ k j   scroll a line; PgUp PgDn Space a screen; Home End
? h       this help

RECORDS   in the queue, DISK of them on disk, BYTES of all
FULL      memory of the queue, at the node where it is fullest
IN OUT    records a second since the last look
AGE       of the oldest record
CONS      consumers of the queue, connections of the node`

func (m *live) key(name string) tea.Cmd {
	if m.about == ofHelp && name != "q" && name != "ctrl+c" {
		m.about = ofQueues // any key ends it
		return nil
	}
	switch name {
	case "q", "ctrl+c":
		return tea.Quit
	case "?", "h":
		m.about, m.top = ofHelp, 0
	case "n":
		m.about, m.top = ofNodes-m.about, 0
	case "s":
		m.sort(1)
	case "S":
		m.sort(orders - 1)
	case "/":
		m.about, m.typing = ofQueues, true
	case "esc":
		m.about, m.Filter = ofQueues, ""
		m.choose()
	case "down", "j":
		m.scroll(1)
	case "up", "k":
		m.scroll(-1)
	case "pgdown", "space":
		m.scroll(m.rows())
	case "pgup":
		m.scroll(-m.rows())
	case "home":
		m.scroll(-m.top)
	case "end":
		m.scroll(m.length())
	}
	return nil
}

func (m *live) sort(by Order) {
	m.Order = (m.Order + by) % orders
	m.about, m.top = ofQueues, 0
	m.choose()
}

// edit takes a key for the filter.
func (m *live) edit(key tea.KeyPressMsg) {
	switch name := key.String(); {
	case name == "enter":
		m.typing = false
	case name == "esc", name == "ctrl+c":
		m.typing, m.Filter = false, ""
	case name == "backspace":
		runes := []rune(m.Filter)
		m.Filter = string(runes[:max(0, len(runes)-1)])
	default:
		m.Filter += key.Text
	}
	m.top = 0
	m.choose()
}

// length is that of the list that is shown.
func (m *live) length() int {
	if m.about == ofNodes {
		return len(m.shown.Nodes)
	}
	return len(m.shown.Queues)
}

// above is what stands above the list and its head: on the page of queues the nodes, if they
// take no more than a third of the screen, else how many there are, and those that are away
// as far as there is room.
func (m *live) above() (lines []string) {
	room := max(1, m.height/3)
	nodes := m.shown.Nodes
	switch {
	case m.about == ofNodes || len(nodes) == 0:
		return []string{m.render(plainStyle, m.shown.summary())}
	case len(nodes)+1 <= room:
		lines = append(lines, m.render(headStyle, line(nodeLayouts, m.width, title)))
	default:
		lines = append(lines, m.render(plainStyle, m.shown.summary()+": n shows them"))
		nodes = nodes[:room-1]
		if away := slices.IndexFunc(nodes, func(n Node) bool { return n.Error == "" }); away >= 0 {
			nodes = nodes[:away]
		}
	}
	for i := range nodes {
		lines = append(lines, m.render(nodeStyle(nodes[i].Error), nodes[i].row(m.width)))
	}
	return lines
}

// hasTotal tells whether there is room for the sums.
func (m *live) hasTotal() bool { return m.about == ofQueues && m.height >= 8 }

// rows is how many lines of the list fit on the screen, besides what is above, head, total
// and foot.
func (m *live) rows() int {
	rows := m.height - len(m.above()) - 2
	if m.hasTotal() {
		rows--
	}
	return max(1, rows)
}

func (m *live) scroll(by int) {
	m.top = max(0, min(m.top+by, m.length()-m.rows()))
}

// list is the lines between what is above and the foot.
func (m *live) list() (lines []string) {
	end := min(m.length(), m.top+m.rows())
	if m.about == ofNodes {
		lines = append(lines, m.render(headStyle, line(nodeLayouts, m.width, title)))
		for i := m.top; i < end; i++ {
			n := &m.shown.Nodes[i]
			lines = append(lines, m.render(nodeStyle(n.Error), n.row(m.width)))
		}
		return lines
	}
	lines = append(lines, m.render(headStyle, line(queueLayouts, m.width, title)))
	if m.hasTotal() {
		total := m.shown.Total()
		lines = append(lines, m.render(dimStyle, total.rowAs(counted(len(m.shown.Queues), "queue"), m.width)))
	}
	for i := m.top; i < end; i++ {
		q := &m.shown.Queues[i]
		style := plainStyle
		if orZero(q.In)+orZero(q.Out) > 0 {
			style = busyStyle
		}
		lines = append(lines, m.render(style, q.row(m.width)))
	}
	return lines
}

func nodeStyle(failure string) lipgloss.Style {
	if failure != "" {
		return errorStyle
	}
	return plainStyle
}

func (m *live) render(style lipgloss.Style, text string) string {
	return style.Render(cut(text, m.width))
}

func (m *live) View() tea.View {
	var lines []string
	if m.about == ofHelp {
		lines = strings.Split(help, "\n")
		for i := range lines {
			lines[i] = cut(lines[i], m.width)
		}
		lines = lines[:min(len(lines), max(1, m.height-1))]
	} else {
		lines = append(m.above(), m.list()...)
	}
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, m.render(dimStyle, m.foot()))
	view := tea.NewView(strings.Join(lines, "\n"))
	view.AltScreen = true
	view.WindowTitle = "dmq top"
	return view
}

func (m *live) foot() string {
	switch {
	case m.typing:
		return "show only: " + printable(m.Filter) + "▏ Enter, or Esc for all"
	case m.about == ofHelp:
		return "any key goes back"
	case m.samples == nil:
		return "asking the nodes …"
	}
	where := fmt.Sprintf("%d-%d of %d", min(m.top+1, m.length()), min(m.length(), m.top+m.rows()), m.length())
	if m.about == ofQueues {
		where += " by " + m.Order.String()
		if m.Filter != "" {
			where += " with " + printable(m.Filter)
		}
	}
	where += "  ? help  q quit"
	if at := m.at.Format("  " + time.TimeOnly); len(where)+len(at) <= m.width {
		where += at
	}
	return where
}
