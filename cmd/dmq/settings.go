package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"gopkg.in/ini.v1"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// Where the nodes are if nothing says so.
const (
	defaultLegacy = "127.0.0.1:10000"
	defaultNeo    = "127.0.0.1:10001"
)

// settings are the options that all commands have in common. Those in settable can come,
// besides the command line, from the environment (DMQ_NAME) and the configuration file
// (name = value), in this order.
type settings struct {
	flags *pflag.FlagSet

	protocol      string
	address       []string
	nodes         string
	credentials   string
	legacyAddress []string
	http          []string
	timeout       time.Duration

	resolved bool // once is enough
	config   string
	profile  string
	json     bool
	quiet    bool
	verbose  bool
}

// settable are the options that don't have to be on the command line.
var settable = []string{"protocol", "address", "nodes", "credentials", "legacy-address", "http", "timeout"}

// exclusive are options of which the first source that has any gives all.
var exclusive = []string{"address", "nodes"}

func (s *settings) addFlags(flags *pflag.FlagSet) {
	s.flags = flags
	flags.StringVarP(&s.protocol, "protocol", "p", "", "`name` of the protocol, neo or legacy; if not given neo with credentials, else legacy")
	flags.StringSliceVarP(&s.address, "address", "a", nil,
		"`host:port,...` of the nodes, may be repeated (default legacy "+defaultLegacy+", neo "+defaultNeo+")")
	flags.StringVarP(&s.nodes, "nodes", "N", "", "`file` with the nodes, host:port one a line")
	flags.StringVarP(&s.credentials, "credentials", "c", "", "`file` with the line name:key to authenticate with over neo")
	flags.StringSliceVar(&s.legacyAddress, "legacy-address", nil,
		"`host:port,...` of the nodes' legacy listeners, to remove channels while --protocol is neo")
	flags.StringSliceVar(&s.http, "http", nil, "`host:port,...` of the nodes' HTTP pages, for top")
	flags.DurationVar(&s.timeout, "timeout", 10*time.Second, "longest wait for connecting to a node and for its answer")
	flags.StringVar(&s.config, "config", "", "configuration `file` (default "+defaultConfigText+")")
	flags.StringVar(&s.profile, "profile", "", "`section` of the configuration file to prefer")
	flags.BoolVar(&s.json, "json", false, "print JSON, one object a line, for scripts")
	flags.BoolVarP(&s.quiet, "quiet", "q", false, "say nothing on standard error but errors")
	flags.BoolVarP(&s.verbose, "verbose", "v", false, "say on standard error what happens to the connections")
}

const defaultConfigText = "~/.config/dmq/config"

// environment returns the name of the variable of an option.
func environment(name string) string {
	return "DMQ_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// source is one of the places where values come from.
type source struct {
	name   string // for errors
	dir    string // that file names are relative to
	values map[string]string
}

// resolve fills in what is not on the command line, and checks what can be checked.
func (s *settings) resolve() error {
	if s.resolved {
		return nil
	}
	s.resolved = true
	profile := s.profile
	if profile == "" {
		profile = os.Getenv(environment("profile"))
	}
	sections, err := s.readConfig(profile)
	if err != nil {
		return err
	}
	given := map[string]bool{}
	for _, name := range settable {
		given[name] = s.flags.Changed(name)
	}
	if err := s.take(append([]source{environmentSource()}, sections...), given); err != nil {
		return err
	}
	return s.check()
}

// take takes every value from the first source that has it, but for those that are given
// already.
func (s *settings) take(sources []source, given map[string]bool) error {
	for _, from := range sources {
		excluded := slices.ContainsFunc(exclusive, func(name string) bool { return given[name] })
		for _, name := range settable {
			value, ok := from.values[name]
			if !ok || given[name] || excluded && slices.Contains(exclusive, name) {
				continue
			}
			if name == "nodes" || name == "credentials" {
				value = from.path(value)
			}
			if err := s.flags.Lookup(name).Value.Set(value); err != nil {
				return fmt.Errorf("%s: %s = %q: %w", from.name, name, value, err)
			}
			given[name] = true
		}
	}
	return nil
}

func (s *settings) check() error {
	switch {
	case s.timeout <= 0:
		return fmt.Errorf("--timeout %v: want more than 0", s.timeout)
	case s.protocol == "" && s.credentials != "":
		s.protocol = string(queue.Neo)
	case s.protocol == "":
		s.protocol = string(queue.Legacy)
	case s.protocol == string(queue.Neo) && s.credentials == "":
		return errors.New("the neo protocol needs --credentials; 'dmq gen-credentials' makes some")
	case s.protocol != string(queue.Neo) && s.protocol != string(queue.Legacy):
		return fmt.Errorf("--protocol %q: want %s or %s", s.protocol, queue.Neo, queue.Legacy)
	}
	for _, address := range slices.Concat(s.address, s.legacyAddress) {
		if _, err := nodes.Parse(address); err != nil {
			return err
		}
	}
	return nil
}

// options returns how to connect.
func (s *settings) options() (o queue.Options, err error) {
	o = queue.Options{Protocol: queue.Protocol(s.protocol), Timeout: s.timeout}
	fallback := defaultLegacy
	if o.Protocol == queue.Neo {
		fallback = defaultNeo
		if o.Credentials, err = client.LoadCredentials(s.credentials); err != nil {
			return o, err
		}
	}
	o.Nodes, err = loadNodes(s.address, s.nodes, fallback)
	return o, err
}

// legacyOptions returns how to connect for what only the legacy protocol can do, or
// errNoLegacy.
func (s *settings) legacyOptions() (o queue.Options, err error) {
	o = queue.Options{Protocol: queue.Legacy, Timeout: s.timeout}
	var addresses []string
	var file string
	switch {
	case s.protocol == string(queue.Legacy):
		addresses, file = s.address, s.nodes
	case len(s.legacyAddress) > 0:
		addresses = s.legacyAddress
	case len(s.address) > 0 || s.nodes != "":
		return o, errNoLegacy
	}
	o.Nodes, err = loadNodes(addresses, file, defaultLegacy)
	return o, err
}

// loadNodes returns the nodes of a list and a file, or that where one is if nothing says so.
func loadNodes(addresses []string, file, fallback string) ([]string, error) {
	if len(addresses) == 0 && file == "" {
		return []string{fallback}, nil
	}
	return nodes.Load(addresses, file)
}

// environmentSource returns the options in the environment. An empty variable is none.
func environmentSource() source {
	from := source{name: "environment", values: map[string]string{}}
	for _, name := range settable {
		if value := os.Getenv(environment(name)); value != "" {
			from.values[name] = value
		}
	}
	return from
}

// readConfig returns the sections of the configuration file that apply, most important
// first. There need not be a file, unless it is asked for.
func (s *settings) readConfig(profile string) (sections []source, err error) {
	path := s.config
	if path == "" {
		path = os.Getenv(environment("config"))
	}
	wanted := path != "" || profile != ""
	if path == "" {
		dir, err := os.UserConfigDir()
		if err != nil && wanted {
			return nil, fmt.Errorf("no configuration file: %w", err)
		}
		path = filepath.Join(dir, "dmq", "config")
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !wanted {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	file, err := ini.LoadSources(ini.LoadOptions{SpaceBeforeInlineComment: true}, content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if profile != "" {
		section, err := file.GetSection(profile)
		if err != nil {
			return nil, fmt.Errorf("%s has no section [%s] for --profile", path, profile)
		}
		sections = append(sections, configSource(path, section))
	}
	sections = append(sections, configSource(path, file.Section("")))
	return sections, checkKeys(path, file)
}

// checkKeys finds keys that nobody reads, also in sections that don't apply.
func checkKeys(path string, file *ini.File) error {
	for _, section := range file.Sections() {
		for _, key := range section.KeyStrings() {
			if !slices.Contains(settable, optionOf(key)) {
				return fmt.Errorf("%s: unknown key %q; there are %s", path, key, strings.Join(settable, ", "))
			}
		}
	}
	return nil
}

func configSource(path string, section *ini.Section) source {
	from := source{name: path, dir: filepath.Dir(path), values: map[string]string{}}
	for _, key := range section.Keys() {
		from.values[optionOf(key.Name())] = key.String()
	}
	return from
}

// optionOf returns the option that a key stands for; _ is as good as -.
func optionOf(key string) string { return strings.ReplaceAll(key, "_", "-") }

// path returns the file that a value names: ~ is the home directory, and what is relative
// in a configuration file is so to that.
func (from source) path(value string) string {
	if rest, ok := strings.CutPrefix(value, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(value) {
		return value
	}
	return filepath.Join(from.dir, value)
}

// completeSettings offers values for the options in common.
func completeSettings(root *cobra.Command) {
	root.RegisterFlagCompletionFunc("protocol", cobra.FixedCompletions([]string{"neo", "legacy"}, cobra.ShellCompDirectiveNoFileComp))
	for _, name := range []string{"address", "legacy-address", "http", "timeout", "profile"} {
		root.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}
