package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.yaml.in/yaml/v3"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/config"
	"harmonize.care/heed/preferences/cache"
	"harmonize.care/heed/preferences/policy"
)

// place is where a run is measured. Everything in it was made for the run: a folder, on
// PostgreSQL a database, in Redis the snapshots of people who were made up. Nothing else
// is touched.
type place struct {
	cfg      *config.Config
	what     string // in words
	database string
	cache    string
	folder   string
	server   string // PostgreSQL, as the settings have it
	made     string // the database that was made there
}

// openPlace makes a place on the servers that the settings name, and nothing else of the
// settings counts: neither the providers nor the practice.
func openPlace(ctx context.Context, of *config.Config, carrier string) (*place, error) {
	folder, err := os.MkdirTemp("", "heed-bench-")
	if err != nil {
		return nil, err
	}
	p := &place{folder: folder, database: "sqlite", cache: "process", what: "a throw-away SQLite file"}
	database := "sqlite:" + filepath.Join(folder, "heed.db")
	if !strings.HasPrefix(of.Database.URL, "sqlite:") {
		p.server = of.Database.URL
		if database, err = p.makeDatabase(ctx); err != nil {
			return nil, errors.Join(err, p.clear(ctx, &population{}))
		}
		p.database, p.what = "postgresql", "a throw-away database on the server of database.url"
	}
	if of.Redis.URL != "" {
		if err := answersRedis(ctx, of.Redis.URL); err != nil {
			return nil, errors.Join(err, p.clear(ctx, &population{}))
		}
		p.cache, p.what = "redis", p.what+", with the Redis of redis.url"
	}
	if err := p.settle(database, of.Redis.URL, carrier); err != nil {
		return nil, errors.Join(err, p.clear(ctx, &population{}))
	}
	return p, nil
}

// settle writes the settings and the policy of the gateway that is measured. It runs in live
// mode: the same adapters and the same clock as in a practice, with the providers' addresses
// on this machine.
func (p *place) settle(database, redisURL, carrier string) error {
	rules, file := filepath.Join(p.folder, "policy.yaml"), filepath.Join(p.folder, "heed.yaml")
	text, err := yaml.Marshal(benchPolicy())
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(rules, text, 0o600), os.WriteFile(file, nil, 0o600)); err != nil {
		return err
	}
	settings := map[string]string{
		"http.listen": "127.0.0.1:0", "http.public_url": benchURL, "database.url": database, "redis.url": redisURL, "policy.file": rules,
		"keys.secret": secretText(), "auth.admin_key": secretText(), "mirrors.sendgrid": "false",
		"practice.name": "Bench Practice", "practice.discreet_name": "Your provider", "practice.phone": "+18885550100", "practice.opt_out_phone": "+18885550199",
		"practice.postal_address": "1 Bench Street, Denver, CO 80202", "practice.privacy_email": "privacy@bench.example", "practice.time_zone": "America/Denver",
		"providers.mode": config.Live, "providers.twilio.account_sid": "AC" + strings.Repeat("be", 16), "providers.twilio.auth_token": secretText(),
		"providers.twilio.base_url": carrier, "providers.sendgrid.api_key": "SG.bench", "providers.sendgrid.base_url": carrier,
	}
	for i, program := range channels.Programs {
		prefix := "programs." + program.String() + "."
		number := fmt.Sprintf("+1888555010%d", i+1)
		settings[prefix+"sms_from"], settings[prefix+"voice_from"], settings[prefix+"email_from"] = number, number, fmt.Sprintf("program%d@bench.example", i+1)
	}
	p.cfg, err = config.Load(config.Source{File: file, Flags: settings})
	return err
}

// benchURL is how the provider would reach the gateway: webhooks are signed over it.
const benchURL = "https://gateway.bench.example"

// benchPolicy is the built-in policy with room for a campaign at any hour of the day: every
// rule is asked, and none holds anybody back.
func benchPolicy() policy.File {
	file := policy.Default()
	for name, program := range file.Programs {
		program.Days, program.Open, program.Close, program.Holidays = "", "08:00", "21:00", false
		program.Cap = policy.CapRule{PerDay: 10_000, Per7Days: 10_000}
		file.Programs[name] = program
	}
	return file
}

// makeDatabase makes a database of a random name and gives its address.
func (p *place) makeDatabase(ctx context.Context) (string, error) {
	u, err := url.Parse(p.server)
	if err != nil {
		return "", errors.New("database.url: not an address")
	}
	name := fmt.Sprintf("heed_bench_%016x", random())
	if err := p.onServer(ctx, "SELECT 1"); err != nil {
		return "", err
	}
	p.made = name // from here on: whoever breaks off just now may have made it
	if err := p.onServer(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

func (p *place) onServer(ctx context.Context, statement string) error {
	db, err := sql.Open("pgx", p.server)
	if err != nil {
		return errors.New("database.url: not an address")
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("database.url: the server does not answer: %w", err)
	}
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("database.url: this user must be allowed to make and drop a database of its own: %w", err)
	}
	return nil
}

func answersRedis(ctx context.Context, address string) error {
	r, err := cache.NewRedis(cache.RedisOptions{URL: address, Expiry: cacheExpiry})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Client().Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis.url: the server does not answer: %w", err)
	}
	return nil
}

// clear takes everything away that was made, also after ctrl-C.
func (p *place) clear(ctx context.Context, people *population) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var errs []error
	if p.made != "" {
		errs = append(errs, p.onServer(ctx, "DROP DATABASE IF EXISTS "+p.made+" WITH (FORCE)"))
	}
	if p.cfg != nil && p.cfg.Redis.URL != "" {
		errs = append(errs, forgetAll(ctx, p.cfg.Redis.URL, people.ids()))
	}
	return errors.Join(append(errs, os.RemoveAll(p.folder))...)
}

// forgetAll deletes snapshots from Redis.
func forgetAll(ctx context.Context, address string, patients []int64) error {
	r, err := cache.NewRedis(cache.RedisOptions{URL: address, Expiry: cacheExpiry})
	if err != nil {
		return err
	}
	defer r.Close()
	for len(patients) > 0 {
		part := patients[:min(1000, len(patients))]
		patients = patients[len(part):]
		// The cache's client does not wait for a busy server; this can.
		if err := until(ctx, 30*time.Second, "Redis deletes", func() (bool, error) {
			_, err := r.Client().Pipelined(ctx, func(pipe redis.Pipeliner) error {
				for _, patient := range part {
					pipe.Del(ctx, cache.Key(patient))
				}
				return nil
			})
			return err == nil, nil
		}); err != nil {
			return fmt.Errorf("the snapshots in Redis could not be deleted, and go by themselves in %s: %w", cacheExpiry, err)
		}
	}
	return nil
}

// sideBySide does n things, some at a time, until one fails.
func sideBySide(ctx context.Context, at, n int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var workers sync.WaitGroup
	for range at {
		workers.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}
