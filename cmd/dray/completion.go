package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
)

var completionCommand command

// It asks for the table that it stands in, hence not a plain declaration.
func init() {
	completionCommand = command{
		name: "completion", args: "bash|zsh|fish", short: "print a script for the shell's tab key",
		long: `For this session:   source <(dray completion bash)
For good, in bash:  dray completion bash > /etc/bash_completion.d/dray
         in zsh:    dray completion zsh > "${fpath[1]}/_dray"
         in fish:   dray completion fish > ~/.config/fish/completions/dray.fish`,
		setup: func(*flag.FlagSet) action { return printCompletion },
	}
}

func printCompletion(_ context.Context, out console, args []string) error {
	scripts := map[string]func(io.Writer, []command){"bash": bashScript, "zsh": zshScript, "fish": fishScript}
	if len(args) == 1 && scripts[args[0]] != nil {
		scripts[args[0]](out.Out, commands())
		return nil
	}
	return usagef("name one shell: bash, zsh or fish")
}

// words returns what can follow a command.
func (c command) words() []string {
	var words []string
	for _, f := range c.flags() {
		words = append(words, dashed(f))
	}
	switch c.name {
	case "completion":
		words = append(words, "bash", "zsh", "fish")
	case "uploads":
		words = append(words, "abort")
	case "help":
		for _, other := range commands() {
			words = append(words, other.name)
		}
	}
	return words
}

func bashScript(w io.Writer, table []command) {
	var names []string
	for _, c := range table {
		names = append(names, c.name)
	}
	fmt.Fprintf(w, `# bash completion for dray
_dray() {
	local cur=${COMP_WORDS[COMP_CWORD]} words=
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W "%s" -- "$cur"))
		return
	fi
	case ${COMP_WORDS[1]} in
`, strings.Join(names, " "))
	for _, c := range table {
		fmt.Fprintf(w, "	%s) words=\"%s\" ;;\n", c.name, strings.Join(c.words(), " "))
	}
	fmt.Fprint(w, `	esac
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
	[ "${#COMPREPLY[@]}" -gt 0 ] || COMPREPLY=($(compgen -f -- "$cur"))
}
complete -o filenames -F _dray dray
`)
}

func zshScript(w io.Writer, table []command) {
	fmt.Fprint(w, "#compdef dray\n_dray() {\n\tlocal -a commands\n\tcommands=(\n")
	for _, c := range table {
		fmt.Fprintf(w, "\t\t'%s:%s'\n", c.name, quoteSingle(c.short))
	}
	fmt.Fprint(w, "\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tcase $words[2] in\n")
	for _, c := range table {
		fmt.Fprintf(w, "\t%s) compadd -- %s ;;\n", c.name, strings.Join(c.words(), " "))
	}
	fmt.Fprint(w, "\tesac\n\t_files\n}\nif [ \"$funcstack[1]\" = _dray ]; then _dray \"$@\"; else compdef _dray dray; fi\n")
}

func fishScript(w io.Writer, table []command) {
	fmt.Fprintln(w, "# fish completion for dray")
	for _, c := range table {
		fmt.Fprintf(w, "complete -c dray -n __fish_use_subcommand -f -a %s -d '%s'\n", c.name, quoteSingle(c.short))
		for _, f := range c.flags() {
			value, usage := flag.UnquoteUsage(f)
			form := "-l " + f.Name
			if len(f.Name) == 1 {
				form = "-s " + f.Name
			}
			if !isSwitch(f) && value != "" {
				form += " -r"
			}
			fmt.Fprintf(w, "complete -c dray -n '__fish_seen_subcommand_from %s' %s -d '%s'\n", c.name, form, quoteSingle(usage))
		}
		for _, word := range c.words() {
			if !strings.HasPrefix(word, "-") {
				fmt.Fprintf(w, "complete -c dray -n '__fish_seen_subcommand_from %s' -f -a %s\n", c.name, word)
			}
		}
	}
}

// quoteSingle makes s fit between single quotes of any of the three shells.
func quoteSingle(s string) string { return strings.ReplaceAll(s, "'", "’") }
