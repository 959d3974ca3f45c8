package top

import (
	"context"
	"errors"
	"fmt"
	"io"
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
)

// Live shows the nodes on a terminal, until the user quits or ctx ends.
func Live(ctx context.Context, nodes []string, interval, timeout time.Duration, in io.Reader, out io.Writer) error {
	m := &live{ctx: ctx, nodes: nodes, interval: interval, timeout: timeout, width: 80, height: 24}
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out)).Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// live is the view.
type live struct {
	ctx               context.Context
	nodes             []string
	interval, timeout time.Duration

	samples       []Sample
	state         State
	at            time.Time
	order         Order
	top           int // first queue that is shown
	width, height int
}

// sampled is the message that the nodes were asked; due that it is time to ask them.
type (
	sampled []Sample
	due     struct{}
)

func (m *live) Init() tea.Cmd { return m.scrape }

func (m *live) scrape() tea.Msg {
	ctx, cancel := context.WithTimeout(m.ctx, m.timeout)
	defer cancel()
	return sampled(Scrape(ctx, m.nodes))
}

func (m *live) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case sampled:
		m.state = NewState(m.samples, msg)
		m.state.Sort(m.order)
		m.samples, m.at = msg, time.Now()
		m.scroll(0)
		return m, tea.Tick(m.interval, func(time.Time) tea.Msg { return due{} })
	case due:
		return m, m.scrape
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.scroll(0)
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	return m, nil
}

func (m *live) key(name string) tea.Cmd {
	switch name {
	case "q", "esc", "ctrl+c":
		return tea.Quit
	case "s":
		m.order = (m.order + 1) % orders
		m.state.Sort(m.order)
		m.top = 0
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
		m.scroll(len(m.state.Queues))
	}
	return nil
}

// nodeLines is how many lines the nodes take: a third of the screen at most.
func (m *live) nodeLines() int { return min(len(m.state.Nodes), max(1, m.height/3)) }

// rows is how many queues fit on the screen, besides nodes, head and foot.
func (m *live) rows() int { return max(1, m.height-m.nodeLines()-2) }

func (m *live) scroll(by int) {
	m.top = max(0, min(m.top+by, len(m.state.Queues)-m.rows()))
}

func (m *live) View() tea.View {
	var lines []string
	for i := range m.nodeLines() {
		style := lipgloss.NewStyle()
		if m.state.Nodes[i].Error != "" {
			style = errorStyle
		}
		lines = append(lines, style.Render(cut(m.state.Nodes[i].line(), m.width)))
	}
	lines = append(lines, headStyle.Render(cut(head(m.width), m.width)))
	end := min(len(m.state.Queues), m.top+m.rows())
	for i := m.top; i < end; i++ {
		q := &m.state.Queues[i]
		style := lipgloss.NewStyle()
		if orZero(q.In)+orZero(q.Out) > 0 {
			style = busyStyle
		}
		lines = append(lines, style.Render(cut(q.row(m.width), m.width)))
	}
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, dimStyle.Render(cut(m.foot(end), m.width)))
	view := tea.NewView(strings.Join(lines, "\n"))
	view.AltScreen = true
	view.WindowTitle = "dmq top"
	return view
}

func (m *live) foot(end int) string {
	switch {
	case m.samples == nil:
		return "asking the nodes …"
	case len(m.state.Queues) == 0:
		return m.at.Format(time.TimeOnly) + "  no queues  q quit"
	}
	return fmt.Sprintf("%s  %d-%d of %d by %s  q quit  s sort  ↑↓ scroll",
		m.at.Format(time.TimeOnly), m.top+1, end, len(m.state.Queues), m.order)
}

// cut makes a line no longer than the screen.
func cut(text string, width int) string {
	if runes := []rune(text); len(runes) > width {
		return string(runes[:max(0, width)])
	}
	return text
}
