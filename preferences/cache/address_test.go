package cache

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
)

func TestParseAddress(t *testing.T) {
	type parts struct {
		Addrs            []string
		User, Pass, Main string
		DB               int
		Cluster          bool
		TLS              string
	}
	for address, want := range map[string]parts{
		"redis://localhost":                               {Addrs: []string{"localhost:6379"}},
		"redis://127.0.0.1:7000/4":                        {Addrs: []string{"127.0.0.1:7000"}, DB: 4},
		"redis://[::1]:7000":                              {Addrs: []string{"[::1]:7000"}},
		"redis://[::1]/":                                  {Addrs: []string{"[::1]:6379"}},
		"redis://:s%40%2f@h":                              {Addrs: []string{"h:6379"}, Pass: "s@/"},
		"redis://heed:s:t@h":                              {Addrs: []string{"h:6379"}, User: "heed", Pass: "s:t"},
		"rediss://heed:s@redis.example:7000/1":            {Addrs: []string{"redis.example:7000"}, User: "heed", Pass: "s", DB: 1, TLS: "redis.example"},
		"redis+sentinel://:s@a:1,b,c:3/main/2":            {Addrs: []string{"a:1", "b:26379", "c:3"}, Pass: "s", Main: "main", DB: 2},
		"redis+cluster://a,b:2":                           {Addrs: []string{"a:6379", "b:2"}, Cluster: true},
		"redis+cluster://configuration.endpoint.example/": {Addrs: []string{"configuration.endpoint.example:6379"}, Cluster: true},
	} {
		o, err := parseAddress(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		got := parts{o.Addrs, o.Username, o.Password, o.MasterName, o.DB, o.IsClusterMode, ""}
		if o.TLSConfig != nil {
			got.TLS = o.TLSConfig.ServerName
			if o.TLSConfig.MinVersion != tls.VersionTLS12 || o.TLSConfig.InsecureSkipVerify {
				t.Errorf("%s: TLS is weak", address)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", address, diff)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, address := range []string{
		"", "localhost:6379", "http://localhost", "redis://", "redis://a,b", "rediss://a,b", "redis://h:0", "redis://h:99999", "redis://h:port", "redis://h/db", "redis://h/-1",
		"redis://h/1/2", "redis://hunter2@h", "redis://user:@h", "redis://:%zz@h", "redis://h?password=hunter2", "redis://h#hunter2", "redis://a:b:c", "redis://a b",
		"redis+sentinel://h", "redis+sentinel://h/", "redis+sentinel://h/main/x", "redis+cluster://h/1", "redis+cluster://a,,b", "redis+cluster://", "REDIS://h", "unix:///tmp/redis.sock",
	} {
		_, err := NewRedis(RedisOptions{URL: address, Expiry: time.Minute})
		if err == nil {
			t.Errorf("%s was taken", address)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error repeats the value: %v", address, err)
		}
	}
	if _, err := NewRedis(RedisOptions{URL: "redis://localhost"}); err == nil {
		t.Error("an expiry of nothing was taken")
	}
}

func TestKindOfClient(t *testing.T) {
	for address, want := range map[string]bool{"redis://h": false, "rediss://h": false, "redis+sentinel://h/main": false, "redis+cluster://h": true} {
		r := openRedis(t, address, time.Minute)
		_, cluster := r.client.(*redis.ClusterClient)
		if cluster != want || r.cluster != want {
			t.Errorf("%s: a cluster's client is %v, a cluster's commands are %v", address, cluster, r.cluster)
		}
	}
}

// FuzzParseAddress: an address either is refused, or says where to connect.
func FuzzParseAddress(f *testing.F) {
	for _, address := range []string{"redis://u:p@h:1/2", "redis+sentinel://:s@a:1,b/main/2", "redis+cluster://a,[::1]:2", "rediss://h"} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		o, err := parseAddress(address)
		if err == nil && (len(o.Addrs) == 0 || o.Addrs[0] == "" || o.DB < 0) {
			t.Fatalf("%q gave %+v", address, o)
		}
	})
}
