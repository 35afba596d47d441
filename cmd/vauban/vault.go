package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"vauban/config"
	"vauban/internal/near"
	"vauban/vault"
)

// committingVault gives what commits and pushes the identities that a run
// created, and those of an earlier run that could not. CI systems check out a
// commit and tell the branch.
func committingVault(log *slog.Logger, cfg *config.Config, s config.Settings) func(context.Context, bool) error {
	return func(ctx context.Context, _ bool) error {
		hosts, err := vault.CommitVault(ctx, cfg.VaultDir(), vault.CommitOptions{
			Username: s.GitTokenUsername, Password: s.GitTokenPassword.Reveal(),
			Branch:  cmp.Or(os.Getenv("CI_COMMIT_BRANCH"), os.Getenv("GITHUB_HEAD_REF"), os.Getenv("GITHUB_REF_NAME")),
			Environ: config.WithoutSecrets(os.Environ()), Log: log,
		})
		if len(hosts) > 0 {
			log.Info("pushed new identities", "hosts", len(hosts))
		}
		return err
	}
}

func newVault(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vault",
		Short: "Look at and rotate the hosts' SSH keys and machine-ids",
		Args:  knownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newVaultList(a),
		a.vaultCommand("show HOST", "Print a host's machine-id and public keys", cobra.ExactArgs(1), showVault),
		a.vaultCommand("rotate HOST", "Give a host new SSH keys; build its conffs afterwards", cobra.ExactArgs(1), rotateVault),
		a.vaultCommand("verify", "Check that keys and machine-ids are whole and shared by no two hosts", cobra.NoArgs, verifyVault),
	)
	return cmd
}

func (a *app) vaultCommand(use, short string, args cobra.PositionalArgs, do func(context.Context, io.Writer, vault.Store, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: arguments(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.session()
			if err != nil {
				return err
			}
			store, err := s.vault()
			if err != nil {
				return err
			}
			if store == nil {
				return usage(errors.New("vauban: no vault is set up: set VAULTED_SSHD_KEYS_KEY, or VAULT_ENGINE=vault and VAULT_ADDR"))
			}
			return do(cmd.Context(), cmd.OutOrStdout(), store, args)
		},
	}
}

func newVaultList(a *app) *cobra.Command {
	var format formatFlag
	cmd := a.vaultCommand("list", "List the hosts that have an identity", cobra.NoArgs, func(ctx context.Context, out io.Writer, store vault.Store, _ []string) error {
		if format.value == "json" {
			return listVaultJSON(ctx, out, store)
		}
		hosts, err := store.List(ctx)
		for _, host := range hosts {
			fmt.Fprintln(out, host)
		}
		return err
	})
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

// listedIdentity is what everybody may know of a host, for programs.
type listedIdentity struct {
	Host      string      `json:"host"`
	MachineID string      `json:"machineId"`
	Keys      []listedKey `json:"keys"`
}

type listedKey struct {
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"`
	Public      string `json:"public"`
}

func listVaultJSON(ctx context.Context, out io.Writer, store vault.Store) error {
	hosts, err := store.List(ctx)
	if err != nil {
		return err
	}
	all := []listedIdentity{}
	for _, host := range hosts {
		id, err := store.Get(ctx, host)
		if err != nil {
			return err
		}
		listed := listedIdentity{Host: host, MachineID: id.MachineID(), Keys: []listedKey{}}
		for _, key := range id.Keys() {
			listed.Keys = append(listed.Keys, listedKey{string(key.Type), key.Fingerprint, strings.TrimSpace(key.Public)})
		}
		all = append(all, listed)
	}
	return printJSON(out, all)
}

func showVault(ctx context.Context, out io.Writer, store vault.Store, args []string) error {
	id, err := store.Get(ctx, args[0])
	if err != nil {
		return unknownHost(ctx, store, args[0], err)
	}
	return printIdentity(out, id)
}

// unknownHost says of a host without an identity which there are.
func unknownHost(ctx context.Context, store vault.Store, host string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	hosts, _ := store.List(ctx) // a hint
	do := cmp.Or(near.Question(near.Words(host, hosts)), "vauban vault list names those that have; a build of its conffs makes one")
	return fmt.Errorf("host %q has no identity in the vault: %s", host, do)
}

// printIdentity prints what everybody may know.
func printIdentity(out io.Writer, id vault.Identity) error {
	fmt.Fprintln(out, "machine-id", id.MachineID())
	for _, key := range id.Keys() {
		if _, err := fmt.Fprintln(out, key.Public); err != nil {
			return err
		}
	}
	return nil
}

func rotateVault(ctx context.Context, out io.Writer, store vault.Store, args []string) error {
	id, err := vault.Rotate(ctx, store, args[0])
	if err != nil {
		return unknownHost(ctx, store, args[0], err)
	}
	return printIdentity(out, id)
}

func verifyVault(ctx context.Context, out io.Writer, store vault.Store, _ []string) error {
	if err := vault.Check(ctx, store); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "all identities are whole, and no two hosts share one")
	return err
}
