package vectors

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// maxRepeat bounds the count in 78*1000.
const maxRepeat = 64 << 20

var (
	headLine = regexp.MustCompile(`^([A-Z]\d+) ([a-zA-Z0-9-]+)((?: \[[^]]*\])*)$`)
	stepLine = regexp.MustCompile(`^(\d+)([<>]) *(.*)$`)
	markText = regexp.MustCompile(`\[([^]]*)\]`)
)

// Parse reads vectors. An error names the line.
func Parse(r io.Reader) ([]Vector, error) {
	var p parser
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		p.line++
		if err := p.parseLine(strings.TrimSpace(scanner.Text())); err != nil {
			return nil, fmt.Errorf("line %d: %w", p.line, err)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	if err := p.endVector(); err != nil {
		return nil, fmt.Errorf("line %d: %w", p.line, err)
	}
	return p.vectors, nil
}

type parser struct {
	line    int
	vectors []Vector
	ids     map[string]bool
	silent  map[int]bool // connections of the last vector on which the client sends no more
}

func (p *parser) parseLine(text string) error {
	if text == "" || strings.HasPrefix(text, "#") {
		return nil
	}
	if head := headLine.FindStringSubmatch(text); head != nil {
		return p.startVector(head[1], head[2], head[3])
	}
	if step := stepLine.FindStringSubmatch(text); step != nil {
		return p.addStep(step[1], step[2], step[3])
	}
	return fmt.Errorf("%q is neither a vector's head nor a step", text)
}

func (p *parser) startVector(id, name, marks string) error {
	if err := p.endVector(); err != nil {
		return err
	}
	if p.ids[id] {
		return fmt.Errorf("vector %s for the second time", id)
	}
	if p.ids == nil {
		p.ids = map[string]bool{}
	}
	p.ids[id] = true
	p.silent = map[int]bool{}
	v := Vector{ID: id, Name: name, Settings: map[string]string{}}
	for _, mark := range markText.FindAllStringSubmatch(marks, -1) {
		if err := v.setMark(mark[1]); err != nil {
			return err
		}
	}
	p.vectors = append(p.vectors, v)
	return nil
}

func (v *Vector) setMark(mark string) error {
	if reason, found := strings.CutPrefix(mark, "skip: "); found {
		v.Skip = reason
		return nil
	}
	if key, value, found := strings.Cut(mark, "="); found {
		v.Settings[strings.TrimSpace(key)] = strings.TrimSpace(value)
		return nil
	}
	switch mark {
	case "GO":
		v.GO = true
	case "D":
		v.D = true
	default:
		return fmt.Errorf("unknown mark [%s], want [GO], [D], [skip: why] or [KEY = VALUE]", mark)
	}
	return nil
}

// endVector checks the vector that the parser is leaving.
func (p *parser) endVector() error {
	if last := len(p.vectors) - 1; last >= 0 && len(p.vectors[last].Steps) == 0 {
		return fmt.Errorf("vector %s ends without a step", p.vectors[last].ID)
	}
	return nil
}

func (p *parser) addStep(conn, direction, text string) error {
	if len(p.vectors) == 0 {
		return fmt.Errorf("step before the first vector")
	}
	number, err := strconv.Atoi(conn)
	if err != nil {
		return fmt.Errorf("connection %s: %w", conn, err)
	}
	step := Step{Line: p.line, Conn: number}
	switch direction + text {
	case "<NONE":
		step.Action = ExpectNone
	case "<EOF":
		step.Action = ExpectEOF
	case ">FIN":
		step.Action = Finish
	case ">CLOSE":
		step.Action = Close
	default:
		if direction == "<" {
			step.Action = Expect
		}
		if step.Data, err = parseBytes(text); err != nil {
			return err
		}
	}
	if step.Action == Send && p.silent[number] {
		return fmt.Errorf("send on connection %d after its FIN or CLOSE", number)
	}
	p.silent[number] = p.silent[number] || endsRun(step)
	v := &p.vectors[len(p.vectors)-1]
	v.Steps = append(v.Steps, step)
	return nil
}

// parseBytes reads hexadecimal fields, each with an optional repeat count.
func parseBytes(text string) ([]byte, error) {
	var data []byte
	for _, field := range strings.Fields(text) {
		digits, count, repeated := strings.Cut(field, "*")
		part, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", field, err)
		}
		if repeated {
			n, err := strconv.Atoi(count)
			if err != nil || n < 1 || n > maxRepeat || len(part) != 1 {
				return nil, fmt.Errorf("field %q: want one byte * 1 to %d", field, maxRepeat)
			}
			part = bytes.Repeat(part, n)
		}
		data = append(data, part...)
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("no bytes")
	}
	return data, nil
}
