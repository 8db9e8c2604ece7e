package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/config"
)

// healthCommand is how an image without a shell is asked for its health.
func healthCommand(c *command) *cobra.Command {
	var ready bool
	cmd := &cobra.Command{
		Use: "health", Short: "Ask the gateway of this machine whether it lives", Args: cobra.NoArgs,
		Long: "Ask the gateway at http.listen of this machine whether it lives (/healthz), or with --ready whether it may send (/readyz).\nIt ends with 0 when it does, with 1 when not.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config()
			if err != nil {
				return err
			}
			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			if err := askHealth(cmd.Context(), cfg, path); err != nil {
				return err
			}
			return c.answer(map[string]string{"status": "ok"}, func(w io.Writer) { fmt.Fprintln(w, "ok") })
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "whether it may send, too")
	return cmd
}

// healthTime is how long an answer may take.
const healthTime = 3 * time.Second

func askHealth(ctx context.Context, cfg *config.Config, path string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	transport, scheme := &http.Transport{}, "http://"
	if cfg.HTTP.TLS.Cert != "" {
		own, err := onlyOwn(cfg.HTTP.TLS)
		if err != nil {
			return err
		}
		transport.TLSClientConfig, scheme = own, "https://"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+nearby(cfg.HTTP.Listen)+path, nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return fmt.Errorf("no gateway answers at http.listen: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the gateway answers %s with %d: its log says why", path, answer.StatusCode)
	}
	return nil
}

// nearby is a listening address as this machine reaches it.
func nearby(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// onlyOwn trusts the very certificate of the settings: its name is that of the public
// address, by which a machine does not always reach itself.
func onlyOwn(files config.TLS) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("http.tls: the certificate cannot be used: %w", err)
	}
	t := tlsConfig()
	t.InsecureSkipVerify = true //nolint:gosec // the next line compares the whole certificate instead
	t.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, pair.Certificate[0]) {
			return errors.New("another certificate than that of http.tls answers; after a renewal the gateway has to be started anew")
		}
		return nil
	}
	return t, nil
}
