// Load for a webhook: recorded reviews over persistent TLS connections, each sending the next as soon as it is answered.
//
// Prints one line of JSON. Every answer must be a 200, and with -uid must hold the uid that was sent. With -cut it
// closes connections abruptly instead: half of them after the handshake, half in the middle of a request.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

type request struct {
	bytes []byte
	uid   []byte
}

type load struct {
	address  string
	trust    *tls.Config
	requests []request
	checkUID bool
	until    time.Time
	most     int64
	sent     atomic.Int64
}

func main() {
	target := flag.String("url", "", "where to send reviews")
	authority := flag.String("ca", "", "file with the trusted certificates")
	connections := flag.Int("connections", 8, "persistent connections")
	seconds := flag.Float64("seconds", 3, "how long to send")
	most := flag.Int64("reviews", 0, "end after so many reviews instead")
	checkUID := flag.Bool("uid", false, "the answer must hold the uid of its review")
	cut := flag.Int64("cut", 0, "close so many connections abruptly instead of sending reviews")
	flag.Parse()
	l, err := newLoad(*target, *authority, flag.Args())
	fatal(err)
	l.checkUID = *checkUID
	l.most = *most
	l.until = time.Now().Add(time.Duration(*seconds * float64(time.Second)))
	work := l.converse
	if *cut > 0 {
		l.most, work = *cut, l.cut
	}
	started := time.Now()
	var group sync.WaitGroup
	for n := range *connections {
		group.Go(func() { fatal(work(n)) })
	}
	group.Wait()
	took := time.Since(started).Seconds()
	fatal(json.NewEncoder(os.Stdout).Encode(map[string]float64{"reviews": float64(l.sent.Load()), "seconds": took}))
}

func newLoad(target, authority string, files []string) (*load, error) {
	where, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	l := &load{address: where.Host, trust: &tls.Config{RootCAs: pool, ServerName: where.Hostname()}}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var review struct{ Request struct{ UID string } }
		if err := json.Unmarshal(body, &review); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: kube-apiserver-admission\r\n"+
			"Content-Length: %d\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\n\r\n",
			where.RequestURI(), where.Host, len(body))
		l.requests = append(l.requests, request{append([]byte(head), body...), []byte(`"uid":"` + review.Request.UID)})
	}
	return l, nil
}

func (l *load) more() bool {
	sent := l.sent.Add(1)
	if sent <= l.most || (l.most == 0 && time.Now().Before(l.until)) {
		return true
	}
	l.sent.Add(-1)
	return false
}

// converse sends reviews over one connection, beginning at its own place among them.
func (l *load) converse(n int) error {
	connection, err := tls.Dial("tcp", l.address, l.trust)
	if err != nil {
		return err
	}
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 64*1024)
	body := bytes.NewBuffer(nil)
	for i := n * len(l.requests) / 8; l.more(); i++ {
		next := l.requests[i%len(l.requests)]
		if _, err := connection.Write(next.bytes); err != nil {
			return err
		}
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			return err
		}
		body.Reset()
		if _, err := io.Copy(body, answer.Body); err != nil {
			return err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d: %s", answer.StatusCode, body)
		}
		if l.checkUID && !bytes.Contains(body.Bytes(), next.uid) {
			return fmt.Errorf("no %s in %s", next.uid, body)
		}
	}
	return nil
}

// cut opens connections and resets them: no close_notify, no FIN.
func (l *load) cut(int) error {
	for l.more() {
		connection, err := net.Dial("tcp", l.address)
		if err != nil {
			return err
		}
		secured := tls.Client(connection, l.trust)
		if err := secured.Handshake(); err != nil {
			return err
		}
		if l.sent.Load()%2 == 0 {
			whole := l.requests[0].bytes
			if _, err := secured.Write(whole[:len(whole)/2]); err != nil {
				return err
			}
		}
		if err := connection.(*net.TCPConn).SetLinger(0); err != nil {
			return err
		}
		connection.Close()
	}
	return nil
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
