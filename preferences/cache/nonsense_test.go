package cache

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"
)

// TestMoreThanWasAsked: what stands where Redis should be may answer anything.
func TestMoreThanWasAsked(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					switch word := strings.ToLower(strings.TrimSpace(line)); word {
					case "hello":
						_, _ = c.Write([]byte("-ERR unknown command\r\n"))
					case "mget":
						_, _ = c.Write([]byte("*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"))
					case "del":
						_, _ = c.Write([]byte(":1\r\n"))
					}
				}
			}()
		}
	}()
	r, err := newRedis(RedisOptions{URL: "redis://" + l.Addr().String(), Expiry: time.Minute, Secret: []byte("secret")}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if found := r.GetMany(t.Context(), []int64{1}); len(found) != 0 {
		t.Errorf("%v", found)
	}
}
