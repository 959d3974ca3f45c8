// Package manpage writes the manual page of a command line tool from its cobra commands: one
// page for all subcommands, which is what people look for.
//
// Help texts are paragraphs between empty lines. A paragraph in which a line is indented
// keeps its lines; others are filled. The page depends on the commands alone, not on date or
// version, so that it changes only with them.
package manpage

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Page returns the manual page of a command and its subcommands, for section 1.
func Page(root *cobra.Command) []byte {
	p := &page{}
	name := root.Name()
	p.line(`.TH %s 1 "" "dmqnode" "User Commands"`, strings.ToUpper(name))
	p.section("NAME")
	p.line(`%s \- %s`, escape(name), escape(lowerFirst(root.Short)))
	p.section("SYNOPSIS")
	p.line(`.B %s`, escape(name))
	p.line(`.I COMMAND`)
	p.line(`[\fIARGUMENT\fR...] [\fIOPTION\fR...]`)
	p.section("DESCRIPTION")
	p.text(root.Long)
	p.section("OPTIONS")
	p.line("These are options of all commands that have a use for them.")
	p.flags(root.PersistentFlags())
	p.section("COMMANDS")
	for _, command := range root.Commands() {
		if command.IsAvailableCommand() {
			p.command(command)
		}
	}
	p.section("EXAMPLES")
	p.verbatim(root.Example)
	return p.Bytes()
}

// page collects lines of roff.
type page struct{ bytes.Buffer }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) section(title string) { p.line(".SH %s", title) }

func (p *page) command(command *cobra.Command) {
	p.line(`.SS "%s"`, escape(strings.TrimSuffix(command.UseLine(), " [flags]")))
	p.text(command.Long)
	p.flags(command.LocalNonPersistentFlags())
	if command.Example != "" {
		p.line(".PP\nExamples:")
		p.verbatim(command.Example)
	}
}

func (p *page) text(text string) {
	for _, paragraph := range strings.Split(text, "\n\n") {
		if strings.Contains("\n"+paragraph, "\n ") {
			p.verbatim(paragraph)
			continue
		}
		p.line(".PP")
		for _, line := range strings.Split(paragraph, "\n") {
			p.line("%s", escape(line))
		}
	}
}

func (p *page) verbatim(text string) {
	p.line(".PP\n.nf")
	for _, line := range strings.Split(text, "\n") {
		p.line("%s", escape(line))
	}
	p.line(".fi")
}

func (p *page) flags(flags *pflag.FlagSet) {
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden || flag.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(flag)
		names := `\fB\-\-` + escape(flag.Name) + `\fR`
		if flag.Shorthand != "" {
			names = `\fB\-` + flag.Shorthand + `\fR, ` + names
		}
		if value != "" {
			names += ` \fI` + escape(value) + `\fR`
		}
		if fallback := flag.DefValue; flag.Value.Type() != "bool" && fallback != "" && fallback != "0" && fallback != "[]" {
			usage += fmt.Sprintf(" (default %s)", fallback)
		}
		p.line(".TP\n%s\n%s", names, escape(usage))
	})
}

// escape makes text that roff prints as it is.
func escape(text string) string {
	var b strings.Builder
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		b.WriteString(`\&`)
	}
	for _, r := range text {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r > unicode.MaxASCII:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func lowerFirst(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToLower(text[:1]) + text[1:]
}
