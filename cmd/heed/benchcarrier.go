package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// carrierCommand plays the providers in a process of its own, so that what it costs is not
// counted as the gateway's. It takes everything, checks nothing and keeps only counts: the
// sandbox's own bookkeeping would be measured instead of the gateway. It ends when its
// input does, and so with whoever started it, however that ended.
func carrierCommand(c *command) *cobra.Command {
	return &cobra.Command{
		Use: "carrier", Short: "Play the providers of one run", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			fmt.Fprintln(c.out, "http://"+listener.Addr().String())
			web := &http.Server{Handler: &benchCarrier{}, ReadHeaderTimeout: 5 * time.Second}
			go func() {
				_, _ = io.Copy(io.Discard, c.in) // its end is all that it says
				_ = web.Close()                  // whoever asked is gone
			}()
			if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
}

// taken is how many messages a carrier has.
type taken struct {
	Mails int64 `json:"mails"` // by recipient
	Texts int64 `json:"texts"`
}

// benchCarrier answers as SendGrid and Twilio do.
type benchCarrier struct {
	mu    sync.Mutex
	taken taken
	more  chan struct{} // closed when there is one more; nil: nobody waits
	last  [2][]byte     // the newest request of each kind: mail, text
}

func (b *benchCarrier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/taken":
		least, _ := strconv.ParseInt(r.URL.Query().Get("texts"), 10, 64) // none: at once
		_ = json.NewEncoder(w).Encode(b.wait(r.Context(), least))        // the caller is gone
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/last/"):
		b.mu.Lock()
		defer b.mu.Unlock()
		_, _ = w.Write(b.last[kindAt(r.URL.Path)]) // the caller is gone
	case r.Method != http.MethodPost: // a look at what came in while the gateway was away: nothing did
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"messages":[]}`) // the caller is gone
	default:
		body, err := io.ReadAll(io.LimitReader(r.Body, 32<<20))
		if err != nil {
			return
		}
		b.take(w, kindAt(r.URL.Path), body, !strings.HasPrefix(r.URL.Path, barePath))
	}
}

// barePath stands before the path of a request that is no message: the same work, not counted.
const barePath = "/bare"

func kindAt(path string) int {
	if strings.HasSuffix(path, "/mail/send") {
		return 0
	}
	return 1
}

// recipient stands once for each in a request to SendGrid.
var recipient = []byte(`"to":[`)

func (b *benchCarrier) take(w http.ResponseWriter, kind int, body []byte, counts bool) {
	mails := 0
	if kind == 0 {
		mails = bytes.Count(body, recipient)
	}
	b.mu.Lock()
	if counts {
		b.last[kind] = body
		if kind == 0 {
			b.taken.Mails += int64(mails)
		} else {
			b.taken.Texts++
		}
		if b.more != nil {
			close(b.more)
			b.more = nil
		}
	}
	id := time.Now().UnixNano() // one at a time, so that none is twice
	b.mu.Unlock()
	if kind == 0 {
		w.Header().Set("X-Message-Id", fmt.Sprintf("%022x", id))
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"sid":"SM%032x","status":"queued"}`, id)
}

// wait tells what was taken, once there are so many texts, or after a second.
func (b *benchCarrier) wait(ctx context.Context, texts int64) taken {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.taken.Texts < texts && ctx.Err() == nil {
		if b.more == nil {
			b.more = make(chan struct{})
		}
		more := b.more
		b.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
		}
		b.mu.Lock()
	}
	return b.taken
}

// carrierProcess is the carrier as its starter sees it.
type carrierProcess struct {
	url   string
	cmd   *exec.Cmd
	input io.Closer
	http  *http.Client
}

func startCarrier(ctx context.Context) (*carrierProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &carrierProcess{cmd: exec.CommandContext(ctx, self, "bench", "carrier"), http: &http.Client{Timeout: 10 * time.Second, Transport: transport()}}
	// After ctrl-C it is still there for what is under way.
	p.cmd.Cancel = func() error { return nil }
	p.cmd.Stderr = os.Stderr
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("the process that plays the providers: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("the process that plays the providers did not start: %w", err)
	}
	p.url = strings.TrimSpace(line)
	return p, nil
}

func (p *carrierProcess) stop() {
	_ = p.input.Close()
	_ = p.cmd.Wait() // it has nothing to say
}

func (p *carrierProcess) get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return nil, err
	}
	got, err := p.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	return io.ReadAll(got.Body)
}

// taken tells what the carrier has, once there are so many texts, or after a second.
func (p *carrierProcess) taken(ctx context.Context, texts int64) (taken, error) {
	var t taken
	body, err := p.get(ctx, fmt.Sprintf("/taken?texts=%d", texts))
	if err == nil {
		err = json.Unmarshal(body, &t)
	}
	return t, err
}
