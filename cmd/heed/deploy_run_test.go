package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The scenario of compose.yaml, without its containers: the same commands with the same
// environment, on the services of the tests. Only addresses are put in their places.

// trial is that scenario under test.
type trial struct {
	t         *testing.T
	services  map[string]composed
	superuser string // the server of the tests
	name      string // of the database, and a part of the roles' names
	gateways  []*trialGateway
	front     string // what spreads calls, as the proxy does
}

// trialGateway is one gateway in a process of its own.
type trialGateway struct {
	url string
	env []string
	log lockedBuffer
	cmd *exec.Cmd
}

// psql runs one of the papers as an operator does. Roles belong to the whole server, so
// they get names of this test's own.
func (r *trial) psql(text, database string) {
	r.t.Helper()
	text = strings.NewReplacer("heed_owner", "heed_owner_"+r.name, "heed_gateway", "heed_gateway_"+r.name, "DATABASE heed ", "DATABASE "+r.name+" ", `\connect heed`, `\connect `+r.name).Replace(text)
	cmd := exec.Command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", r.at("", database), "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	cmd.Env = append(os.Environ(), "OWNER_PASSWORD="+secrets["OWNER_PASSWORD"], "GATEWAY_PASSWORD="+secrets["GATEWAY_PASSWORD"])
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("psql: %v\n%s", err, out)
	}
}

// at is the address of a database on the server of the tests, as one of the roles.
func (r *trial) at(role, database string) string {
	u, err := url.Parse(r.superuser)
	if err != nil {
		r.t.Fatal(err)
	}
	if u.Path = "/" + database; role != "" {
		u.User = url.UserPassword(role+"_"+r.name, secrets[map[string]string{"heed_owner": "OWNER_PASSWORD", "heed_gateway": "GATEWAY_PASSWORD"}[role]])
	}
	return u.String()
}

// environ is a service's environment with this machine's addresses in it.
func (r *trial) environ(service, listen string) []string {
	list := []string{childMark + "=1"}
	for name, value := range r.services[service].Environment {
		switch name {
		case "HEED_DATABASE_URL":
			u, err := url.Parse(value)
			if err != nil || u.Host != "postgres:5432" || u.Path != "/heed" {
				r.t.Fatalf("%s: %s, %v", service, name, err)
			}
			if password, _ := u.User.Password(); password == "" {
				r.t.Errorf("%s has no password", service)
			}
			value = r.at(u.User.Username(), r.name)
		case "HEED_REDIS_URL":
			if value != "redis://redis:6379" {
				r.t.Fatalf("%s: %s", service, name)
			}
			value = serviceURL(r.t, "HEED_TEST_REDIS_URL")
		case "HEED_HTTP_LISTEN":
			value = listen
		case "HEED_HTTP_PUBLIC_URL":
			value = "http://" + listen
		}
		list = append(list, name+"="+value)
	}
	return list
}

// heed runs a command in the environment of a service.
func (r *trial) heed(env []string, args ...string) (string, error) {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env, cmd.Dir = env, r.t.TempDir()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *trial) ok(env []string, args ...string) string {
	r.t.Helper()
	out, err := r.heed(env, args...)
	if err != nil {
		r.t.Fatalf("heed %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (r *trial) serve(service string) *trialGateway {
	r.t.Helper()
	listen := freeAddress(r.t)
	g := &trialGateway{url: "http://" + listen, env: r.environ(service, listen)}
	g.cmd = exec.Command(os.Args[0], r.services[service].Command...)
	g.cmd.Env, g.cmd.Dir, g.cmd.Stderr = g.env, r.t.TempDir(), &g.log
	if err := g.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = g.cmd.Process.Kill() // it has ended where the test went well
		if r.t.Failed() {
			r.t.Logf("%s:\n%s", service, g.log.String())
		}
	})
	health := r.services[service].HealthCheck.Test
	eventually(r.t, service+" is healthy", func() bool {
		_, err := r.heed(g.env, health[2:]...)
		return err == nil
	})
	eventually(r.t, service+" is ready", func() bool {
		_, err := r.heed(g.env, "health", "--ready")
		return err == nil
	})
	return g
}

// spread plays the proxy: each call goes to the next gateway.
func (r *trial) spread() {
	var turn atomic.Uint64
	address := freeAddress(r.t)
	server := &http.Server{Addr: address, Handler: &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		u, err := url.Parse(r.gateways[turn.Add(1)%uint64(len(r.gateways))].url)
		if err == nil {
			p.SetURL(u)
		}
	}}}
	go server.ListenAndServe()
	r.t.Cleanup(func() { server.Close() })
	r.front = "http://" + address
	eventually(r.t, "the proxy answers", func() bool {
		a, err := http.Get(r.front + "/healthz")
		if err != nil {
			return false
		}
		a.Body.Close()
		return a.StatusCode == http.StatusOK
	})
}

func (r *trial) call(method, address string, body any) (int, map[string]any) {
	r.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	q, err := http.NewRequest(method, address, bytes.NewReader(raw))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+adminKey)
	q.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	var got map[string]any
	_ = json.Unmarshal(text, &got) // an empty answer stays nil
	return a.StatusCode, got
}

func newTrial(t *testing.T) *trial {
	t.Helper()
	if _, err := exec.LookPath("psql"); err != nil {
		t.Skip("psql is not there: it comes with PostgreSQL's client")
	}
	serviceURL(t, "HEED_TEST_REDIS_URL")
	r := &trial{t: t, services: compose(t), superuser: serviceURL(t, "HEED_TEST_POSTGRES_URL"), name: fmt.Sprintf("heed_trial_%x", rand.Uint32())}
	r.psql(paper(t, "roles.sql"), "postgres")
	t.Cleanup(r.drop)
	r.ok(r.environ("migrate", freeAddress(t)), r.services["migrate"].Command...)
	r.psql(paper(t, "append-only.sql"), r.name)
	for _, service := range []string{"gateway1", "gateway2"} {
		r.gateways = append(r.gateways, r.serve(service))
	}
	r.spread()
	return r
}

// drop leaves a server that is kept for longer as it was.
func (r *trial) drop() {
	r.psql("DROP DATABASE "+r.name+" WITH (FORCE);\nDROP ROLE heed_owner;\nDROP ROLE heed_gateway;\n", "postgres")
}

func (r *trial) open(role string) *sql.DB {
	r.t.Helper()
	db, err := sql.Open("pgx", r.at(role, r.name))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { db.Close() })
	return db
}

func (r *trial) settles(id string, statuses ...string) {
	r.t.Helper()
	var m map[string]any
	eventually(r.t, fmt.Sprintf("message is %v", statuses), func() bool {
		_, m = r.call("GET", r.front+"/v1/messages/"+id, nil)
		for _, s := range statuses {
			if m["status"] == s {
				return true
			}
		}
		return false
	})
}

func TestTwoGatewaysAsComposed(t *testing.T) {
	r := newTrial(t)
	const patients = 12
	for i := range patients {
		status, got := r.call("PUT", fmt.Sprintf("%s/v1/patients/p%d", r.front, i), map[string]any{
			"given_name": "Xiomara", "family_name": "Okonkwo", "birth_date": "1980-04-02", "locale": "en", "time_zone": "America/Denver",
			"addresses": []map[string]any{{"kind": "phone", "value": fmt.Sprintf("+1303555%04d", 150+i), "line_type": "mobile"}},
		})
		if status >= 300 {
			t.Fatalf("%d %v", status, got)
		}
	}
	ask := func(patient string) string {
		t.Helper()
		status, got := r.call("POST", r.front+"/v1/messages", reminder(patient))
		if status >= 300 {
			t.Fatalf("%d %v", status, got)
		}
		return got["id"].(string)
	}
	for i := range patients {
		r.settles(ask(fmt.Sprintf("p%d", i)), "delivered")
	}
	// A STOP at one gateway binds the other one.
	form := url.Values{"from": {"+13035550150"}, "to": {"+18885550101"}, "body": {"STOP"}}
	answer, err := http.PostForm(r.gateways[0].url+"/sandbox/reply", form)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	for _, g := range r.gateways {
		eventually(t, "the stop binds", func() bool {
			_, got := r.call("POST", g.url+"/v1/decisions", map[string]any{"patient": "p0", "category": "appointment_reminder", "channels": []string{"sms"}})
			return got["code"] == "stopped"
		})
	}
	r.settles(ask("p0"), "needs_staff", "suppressed")
	env := r.gateways[1].env
	r.ok(env, "patient", "erase", "p1", "--reason", "request")
	r.held(ask)
	if out := r.ok(env, "audit", "verify"); !strings.Contains(out, "seals walked") {
		t.Error(out)
	}
	r.least()
	r.ends()
}

// held holds sends on both gateways with the command of one.
func (r *trial) held(ask func(string) string) {
	r.t.Helper()
	r.ok(r.gateways[0].env, "sending", "hold", "--reason", "a restore")
	id := ask("p2")
	for _, g := range r.gateways {
		if out := r.ok(g.env, "sending", "status"); !strings.Contains(out, "Sends are held since") || !strings.Contains(out, "Due: 1.") {
			r.t.Error(out)
		}
		if out := r.ok(g.env, "health", "--ready"); out != "ok\n" {
			r.t.Error(out)
		}
	}
	r.ok(r.gateways[1].env, "sending", "release")
	r.settles(id, "delivered")
}

// least shows what the role that serves cannot do, and how many connections it has.
func (r *trial) least() {
	r.t.Helper()
	db := r.open("heed_gateway")
	for _, forbidden := range []string{
		"DELETE FROM ledger", "UPDATE ledger SET kind = 'x'", "DELETE FROM audit", "UPDATE audit SET detail = ''", "TRUNCATE messages", "DELETE FROM seals",
		"DROP TABLE patients", "ALTER TABLE patients ADD COLUMN x TEXT", "CREATE TABLE x (y TEXT)", "CREATE SCHEMA x", "CREATE TEMPORARY TABLE x (y TEXT)", "SELECT * FROM pg_authid",
	} {
		if _, err := db.Exec(forbidden); err == nil || !strings.Contains(err.Error(), "permission denied") && !strings.Contains(err.Error(), "must be owner") {
			r.t.Errorf("%s: %v", forbidden, err)
		}
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()").Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	if most := connectionsPerReplica * len(r.gateways); n == 0 || n > most {
		r.t.Errorf("%d connections, and operations.md says %d at most", n, most)
	}
}

// connectionsPerReplica is what operations.md says.
const connectionsPerReplica = 28

// ends stops the gateways as an upgrade does: in order, within the time that the papers give.
func (r *trial) ends() {
	r.t.Helper()
	for i, g := range r.gateways {
		grace, err := time.ParseDuration(r.services[fmt.Sprintf("gateway%d", i+1)].Grace)
		if err != nil {
			r.t.Fatal(err)
		}
		if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			r.t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		ended := make(chan error, 1)
		go func() { ended <- g.cmd.Wait() }()
		select {
		case err := <-ended:
			if err != nil {
				r.t.Errorf("gateway%d: %v", i+1, err)
			}
		case <-ctx.Done():
			r.t.Errorf("gateway%d did not end within %s", i+1, grace)
		}
		cancel()
		for _, bad := range []string{"permission denied", "must be owner", `"level":"ERROR"`} {
			if strings.Contains(g.log.String(), bad) {
				r.t.Errorf("gateway%d's log tells of %q", i+1, bad)
			}
		}
	}
}
