// An application that takes its identity from the SPIFFE Workload API by the library of the project
// itself. Says `ok<TAB>name` or `FAIL<TAB>name<TAB>what` for each check.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var failed bool

func check(name string, err error) {
	if err != nil {
		failed = true
		fmt.Printf("FAIL\t%s\t%v\n", name, err)
		return
	}
	fmt.Printf("ok\t%s\n", name)
}

func main() {
	id := flag.String("id", "", "who this has to be")
	ready := flag.String("ready", "", "made when the root may be rotated")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()

	client, err := workloadapi.New(ctx)
	if err != nil {
		check("the socket is found", err)
		os.Exit(1)
	}
	defer client.Close()
	first, err := client.FetchX509SVID(ctx)
	check("an SVID is fetched", err)
	if err != nil {
		os.Exit(1)
	}
	check("it is of this workload", same(first.ID.String(), *id))
	check("it verifies against the bundles", verify(ctx, client, first))
	check("both ends of TLS accept it", handshake(ctx, first.ID))
	_, err = client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "anybody"})
	check("JWT-SVIDs are refused in so many words", refused(err))
	check("a rotation of the root is followed", follow(ctx, client, first, *ready))
	if failed {
		os.Exit(1)
	}
}

func same(found, expected string) error {
	if found != expected {
		return fmt.Errorf("it is %s, not %s", found, expected)
	}
	return nil
}

func verify(ctx context.Context, client *workloadapi.Client, svid *x509svid.SVID) error {
	bundles, err := client.FetchX509Bundles(ctx)
	if err != nil {
		return err
	}
	verified, _, err := x509svid.Verify(svid.Certificates, bundles)
	if err != nil {
		return err
	}
	return same(verified.String(), svid.ID.String())
}

// handshake lets a server and a client meet, each with what the library has got for it.
func handshake(ctx context.Context, id spiffeid.ID) error {
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	authorize := tlsconfig.AuthorizeID(id)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		server := tls.Server(conn, tlsconfig.MTLSServerConfig(source, source, authorize))
		defer server.Close()
		io.Copy(server, server)
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	tlsConn := tls.Client(conn, tlsconfig.MTLSClientConfig(source, source, authorize))
	defer tlsConn.Close()
	if _, err := tlsConn.Write([]byte("hello")); err != nil {
		return err
	}
	echoed := make([]byte, 5)
	if _, err := io.ReadFull(tlsConn, echoed); err != nil {
		return err
	}
	return same(string(echoed), "hello")
}

func refused(err error) error {
	if status.Code(err) != codes.Unimplemented {
		return fmt.Errorf("it ended with %v", err)
	}
	return nil
}

type watcher chan *workloadapi.X509Context

func (w watcher) OnX509ContextUpdate(update *workloadapi.X509Context) { w <- update }

func (w watcher) OnX509ContextWatchError(err error) {
	if status.Code(err) != codes.Canceled {
		fmt.Fprintln(os.Stderr, err)
	}
}

// follow waits until the SVID is under another root, which the bundle has, too.
func follow(ctx context.Context, client *workloadapi.Client, first *x509svid.SVID, ready string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := make(watcher, 16)
	go client.WatchX509Context(ctx, updates)
	rotating := false
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no update under another root came")
		case update := <-updates:
			if !rotating {
				rotating = true
				if err := os.WriteFile(ready, nil, 0o644); err != nil {
					return err
				}
			}
			svid := update.DefaultSVID()
			if _, _, err := x509svid.Verify(svid.Certificates, update.Bundles); err != nil {
				return err
			}
			bundle, err := update.Bundles.GetX509BundleForTrustDomain(svid.ID.TrustDomain())
			if err != nil {
				return err
			}
			// Once the old root is gone, what was fetched first verifies no more.
			if len(bundle.X509Authorities()) == 1 {
				if _, _, err := x509svid.Verify(first.Certificates, update.Bundles); err != nil {
					return nil
				}
			}
		}
	}
}
