package cache

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

var errAddress = errors.New("redis.url: write redis://[[user]:password@]host[:port][/db], rediss://… for TLS, " +
	"redis+sentinel://host:port,host:port/master[/db] or redis+cluster://host:port,host:port; escape special characters of the password as %XX")

// parseAddress reads a Redis address. The error never repeats it, as it may hold a
// password. It is taken apart by hand: net/url refuses a list of hosts.
func parseAddress(address string) (*redis.UniversalOptions, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok || strings.ContainsAny(rest, "?#") {
		return nil, errAddress
	}
	hosts, path, _ := strings.Cut(rest, "/")
	o := &redis.UniversalOptions{}
	if i := strings.LastIndexByte(hosts, '@'); i >= 0 {
		if !credentials(o, hosts[:i]) {
			return nil, errAddress
		}
		hosts = hosts[i+1:]
	}
	port := "6379"
	switch scheme {
	case "redis", "rediss":
		ok = database(o, path)
	case "redis+sentinel":
		port = "26379"
		master, db, _ := strings.Cut(path, "/")
		o.MasterName = master
		ok = master != "" && database(o, db)
	case "redis+cluster":
		o.IsClusterMode = true
		ok = path == ""
	default:
		ok = false
	}
	if !ok || !hostList(o, hosts, port) {
		return nil, errAddress
	}
	if strings.HasPrefix(scheme, "redis+") {
		return o, nil
	}
	if len(o.Addrs) != 1 {
		return nil, errAddress
	}
	if scheme == "rediss" {
		host, _, _ := net.SplitHostPort(o.Addrs[0])
		o.TLSConfig = &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12} // NIST SP 800-52r2
	}
	return o, nil
}

func credentials(o *redis.UniversalOptions, text string) bool {
	user, password, ok := strings.Cut(text, ":")
	if !ok || password == "" {
		return false
	}
	var err1, err2 error
	o.Username, err1 = url.PathUnescape(user)
	o.Password, err2 = url.PathUnescape(password)
	return err1 == nil && err2 == nil
}

func database(o *redis.UniversalOptions, text string) bool {
	if text == "" {
		return true
	}
	n, err := strconv.ParseUint(text, 10, 16)
	o.DB = int(n)
	return err == nil
}

func hostList(o *redis.UniversalOptions, text, port string) bool {
	for _, one := range strings.Split(text, ",") {
		host, p, err := net.SplitHostPort(one)
		if err != nil {
			host, p = strings.Trim(one, "[]"), port
		}
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 || host == "" || strings.ContainsAny(host, " []@") {
			return false
		}
		if strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return false
		}
		o.Addrs = append(o.Addrs, net.JoinHostPort(host, p))
	}
	return true
}
