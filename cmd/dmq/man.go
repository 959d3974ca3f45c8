package main

import "github.com/spf13/cobra"

func newMan() *cobra.Command { return &cobra.Command{Use: "man", Hidden: true} }
