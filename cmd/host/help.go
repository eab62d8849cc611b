package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// printHelp writes what a command does and how it's used.
func printHelp(cmd *cobra.Command, _ []string) {
	_, _ = io.WriteString(cmd.OutOrStdout(), helpText(cmd)) // nobody is left to tell
}

func helpText(cmd *cobra.Command) string {
	var b strings.Builder
	b.WriteString(cmd.Long + "\n\nUsage:\n  " + useLine(cmd) + "\n")
	if cmd.Example != "" {
		b.WriteString("\nExamples:\n" + cmd.Example + "\n")
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n" + commandList(cmd))
	}
	if own := cmd.LocalNonPersistentFlags(); !cmd.HasParent() {
		b.WriteString("\nFlags of every command:\n" + flagList(cmd.PersistentFlags()))
	} else {
		if own.HasAvailableFlags() {
			b.WriteString("\nFlags:\n" + flagList(own))
		}
		b.WriteString("\nFlags of every command:\n" + flagList(cmd.InheritedFlags()))
	}
	return b.String()
}

// useLine is how a command is called; one that has commands may do something by itself too.
func useLine(cmd *cobra.Command) string {
	if !cmd.HasAvailableSubCommands() {
		return cmd.UseLine()
	}
	group := cmd.CommandPath() + " COMMAND"
	if strings.Contains(cmd.Use, " ") {
		return cmd.UseLine() + "\n  " + group
	}
	return group
}

func commandList(cmd *cobra.Command) string {
	return aligned(func(w io.Writer) {
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() {
				_, _ = fmt.Fprintf(w, "  %s\t%s\n", sub.Name(), sub.Short)
			}
		}
	})
}

func flagList(flags *pflag.FlagSet) string {
	return aligned(func(w io.Writer) {
		flags.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				name, usage := describeFlag(f)
				_, _ = fmt.Fprintf(w, "  %s\t%s\n", name, usage)
			}
		})
	})
}

// aligned makes columns of what is written with tabs; writing to memory never fails.
func aligned(write func(w io.Writer)) string {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	write(tw)
	_ = tw.Flush()
	return b.String()
}

// describeFlag is a flag's name with its value, and what it does.
func describeFlag(f *pflag.Flag) (name, usage string) {
	if f.Name == "help" {
		return "-h, --help", "show this help"
	}
	value, usage := pflag.UnquoteUsage(f)
	name = strings.TrimSpace("--" + f.Name + " " + value)
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	return name, usage
}
