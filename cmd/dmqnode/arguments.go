package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// Exit statuses (operations spec §1.3).
const (
	exitOK         = 0 // help or version printed, or a clean shutdown
	exitFailure    = 1 // any failure without a status of its own
	exitUsage      = 2 // wrong command line
	exitUnreadable = 3 // the configuration file cannot be opened or read
)

// arguments is a valid command line that starts the node.
type arguments struct {
	config    string   // path of the configuration file
	overrides []string // assignments for config.Load
	loose     bool     // unknown keys are only warnings
}

// commandLine parses the words after the program name. If they ask for nothing but text, or are
// wrong, it prints that; the program is then done and exits with the status.
func commandLine(argv []string, stdout, stderr io.Writer) (args arguments, exit int, done bool) {
	p := newParser()
	p.parse(argv)
	switch faults := p.faults(); {
	case p.help.given:
		p.printUsage(stdout)
		return arguments{}, exitOK, true
	case p.buildInfo.given:
		fmt.Fprintln(stdout, strings.Join(thisBuild().lines(), "\n"))
		return arguments{}, exitOK, true
	case p.version.given:
		fmt.Fprintln(stdout, thisBuild())
		return arguments{}, exitOK, true
	case len(faults) > 0:
		printFaults(stderr, faults)
		return arguments{}, exitUsage, true
	}
	return arguments{p.config.values[0], p.override.values, p.loose.given}, exitOK, false
}

// load reads the configuration, and prints warnings. If it is unusable, load prints why and
// returns nil and the exit status.
func (a arguments) load(stderr io.Writer) (c *config.Config, warnings []string, exit int) {
	c, warnings, err := config.Load(a.config, a.overrides, a.loose)
	for _, w := range warnings {
		fmt.Fprintln(stderr, "#### WARNING:", w)
	}
	if err == nil {
		return c, warnings, exitOK
	}
	printRed(stderr, err.Error())
	var unreadable *config.ReadError
	if errors.As(err, &unreadable) {
		return nil, nil, exitUnreadable
	}
	return nil, nil, exitFailure
}

// parser gives pflag one option word at a time, because pflag stops at the first mistake, takes an
// option for the parameter of another, and knows no options with several parameters (operations spec §1.2).
type parser struct {
	flags      *pflag.FlagSet
	config     option
	override   option
	loose      option
	version    option
	buildInfo  option
	help       option
	positional []string
	unexpected []string // names of unknown options
	last       *option  // the following words belong to it,
	room       int      // but only so many
}

// option is what pflag knows about an option: how often it was given and with which parameters.
type option struct {
	parser   *parser
	required bool
	min, max int // parameters
	given    bool
	values   []string
}

// maxPositional is the number of words besides options that are accepted, and ignored.
const maxPositional = 42

// noParameter is the value pflag gives to an option without one; no argument can contain it.
const noParameter = "\x00"

func newParser() *parser {
	p := &parser{flags: pflag.NewFlagSet("dmqnode", pflag.ContinueOnError)}
	p.config = option{required: true, min: 1, max: 1}
	p.override = option{min: 1, max: math.MaxInt}
	p.add(&p.config, "config", "c", "use the configuration file FILE")
	p.add(&p.override, "override-config", "O", "replace values of the file, each by 'SECTION.KEY = VALUE'; without VALUE the key is removed")
	p.add(&p.loose, "loose-config-parsing", "", "only warn about unknown keys in the configuration file")
	p.add(&p.version, "version", "", "print the version and exit")
	p.add(&p.buildInfo, "build-info", "", "print the version and how the program was built, and exit")
	p.add(&p.help, "help", "h", "print this text and exit")
	return p
}

func (p *parser) add(o *option, name, short, usage string) {
	o.parser = p
	flag := p.flags.VarPF(o, name, short, usage)
	if o.max == 0 {
		flag.NoOptDefVal = noParameter
	}
}

// Set, String and Type make an option a pflag.Value.
func (o *option) Set(value string) error {
	o.given, o.parser.last = true, o
	if value != noParameter {
		o.values = append(o.values, value)
		o.parser.room = o.max - 1
	}
	return nil
}

func (o *option) String() string { return "" }
func (o *option) Type() string   { return "" }

func (p *parser) parse(argv []string) {
	for i, word := range argv {
		switch {
		case word == "--":
			p.positional = append(p.positional, argv[i+1:]...)
			return
		case len(word) > 1 && word[0] == '-':
			p.parseOption(word)
		case p.room > 0:
			p.last.values = append(p.last.values, word)
			p.room--
		default:
			p.positional = append(p.positional, word)
		}
	}
}

// parseOption parses a word with one long or several short options.
func (p *parser) parseOption(word string) {
	p.room = 0
	if strings.HasPrefix(word, "-test.") { // pflag skips options of Go tests
		p.unexpected = append(p.unexpected, "t")
		return
	}
	err := p.flags.Parse([]string{word})
	var missing *pflag.ValueRequiredError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &missing):
		o := missing.GetFlag().Value.(*option)
		o.given, p.last, p.room = true, o, o.max
	case errors.As(err, &unknown):
		p.unexpected = append(p.unexpected, unknown.GetSpecifiedName())
	case err != nil: // "---x" or "--=x"
		name, _, _ := strings.Cut(word[2:], "=")
		p.unexpected = append(p.unexpected, name)
	}
}

// faults are the texts of all errors, in alphabetical order of the options.
func (p *parser) faults() []string {
	type fault struct{ name, text string }
	var faults []fault
	if n := len(p.positional); n > maxPositional {
		faults = append(faults, fault{"", fmt.Sprintf("argument 'ARGS' expects %d parameter(s) but has %d", maxPositional, n)})
	}
	for _, name := range p.unexpected {
		faults = append(faults, fault{name, fmt.Sprintf("unexpected argument '%s'", name)})
	}
	p.flags.VisitAll(func(flag *pflag.Flag) {
		if text := flag.Value.(*option).fault(flag.Name); text != "" {
			faults = append(faults, fault{flag.Name, text})
		}
	})
	if text := p.override.malformed(); text != "" {
		faults = append(faults, fault{"override-config", text})
	}
	slices.SortStableFunc(faults, func(a, b fault) int { return cmp.Compare(a.name, b.name) })
	var texts []string
	for _, f := range slices.Compact(faults) {
		texts = append(texts, f.text)
	}
	return texts
}

func (o *option) fault(name string) string {
	n, expected := len(o.values), o.max
	if n < o.min {
		expected = o.min
	}
	switch {
	case o.required && !o.given:
		return fmt.Sprintf("argument '%s' is missing", name)
	case o.given && (n < o.min || n > o.max):
		return fmt.Sprintf("argument '%s' expects %d parameter(s) but has %d", name, expected, n)
	}
	return ""
}

// malformed is the line about all assignments that are none.
func (o *option) malformed() string {
	var texts []string
	for _, assignment := range o.values {
		if _, err := config.ParseOverride(assignment); err != nil {
			texts = append(texts, err.Error())
		}
	}
	return strings.Join(texts, ", ")
}

func printFaults(stderr io.Writer, faults []string) {
	printRed(stderr, strings.Join(faults, "\n"))
	fmt.Fprint(stderr, "\nType dmqnode -h for help\n")
}

// printRed prints lines, in red on a terminal.
func printRed(stderr io.Writer, text string) {
	if isTerminal(stderr) {
		text = "\x1b[31m" + text + "\x1b[39m"
	}
	fmt.Fprintln(stderr, text)
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

func (p *parser) printUsage(stdout io.Writer) {
	width := 0
	p.flags.VisitAll(func(flag *pflag.Flag) { width = max(width, len(flag.Name)) })

	fmt.Fprint(stdout, "dmqnode: node of a distributed message queue\n\nUsage:\tdmqnode [OPTIONS] [ARGS]\n\nProgram options:\n")
	p.flags.VisitAll(func(flag *pflag.Flag) {
		short := "    "
		if flag.Shorthand != "" {
			short = "-" + flag.Shorthand + ", "
		}
		fmt.Fprintf(stdout, "  %s--%-*s  %s%s\n", short, width, flag.Name, flag.Usage, flag.Value.(*option).parameters())
	})
	fmt.Fprintln(stdout)
}

// parameters is the end of the option's line in the usage text.
func (o *option) parameters() string {
	switch {
	case o.max == 0:
		return ""
	case o.max > o.min:
		return fmt.Sprintf(" (%d or more params)", o.min)
	case o.required:
		return fmt.Sprintf(" (%d param, required)", o.min)
	}
	return fmt.Sprintf(" (%d param)", o.min)
}
