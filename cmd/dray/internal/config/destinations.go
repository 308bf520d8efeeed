package config

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/creds"
	"github.com/seed-7270d448/dray/transport/link"
	"github.com/seed-7270d448/dray/transport/local"
	"github.com/seed-7270d448/dray/transport/s3"
)

// destinations is the table of archives: how each type reads its keys. A new
// archive is one more line here and a folder under transport.
var destinations = map[string]func(m *mapping, env func(string) string) (engine.Destination, error){
	"glacier": glacierDestination,
	"local":   localDestination,
	"s3":      s3Destination,
}

// destination reads one destination. One with a problem has a name but no To.
func destination(m *mapping, env func(string) string) engine.Destination {
	types := slices.Sorted(maps.Keys(destinations))
	name := m.need("name", "name the destination; streams refer to it")
	m.need("type", "choose one of "+strings.Join(types, ", "))
	open, ok := destinations[m.word("type", types...)]
	if !ok {
		m.r.bad[m.path] = true
		return engine.Destination{Name: name}
	}
	before := len(m.r.problems)
	windows := m.windows()
	d, err := open(m, env)
	m.done()
	if err != nil && len(m.r.problems) == before {
		m.r.report(m.path, m.at, "", "%v", err)
	}
	if len(m.r.problems) > before {
		m.r.bad[m.path] = true
		return engine.Destination{Name: name}
	}
	d.Name, d.Windows = name, windows
	return d
}

func localDestination(m *mapping, _ func(string) string) (engine.Destination, error) {
	if m.need("path", "name the folder, such as /mnt/usb/archive") == "" {
		return engine.Destination{}, nil
	}
	to, err := local.New(local.Config{Path: m.beside("path"), Mount: m.yes("mount"), PartSize: m.size("part_size")})
	if err != nil {
		return engine.Destination{}, err
	}
	return engine.Destination{To: to}, nil
}

func s3Destination(m *mapping, env func(string) string) (engine.Destination, error) {
	before := len(m.r.problems)
	c := s3.Config{
		Bucket:    m.need("bucket", "name the bucket"),
		Region:    m.text("region"),
		Endpoint:  m.text("endpoint"),
		PathStyle: m.yes("path_style"),
		Prefix:    m.text("prefix"),
		PartSize:  m.size("part_size"),
		Variant:   s3.Variant{DualStack: m.yes("dual_stack"), FIPS: m.yes("fips")},
	}
	if u, err := url.Parse(c.Endpoint); c.Endpoint != "" && (err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https") {
		// Not repeated: it may hold a password.
		m.problem("endpoint", "write scheme and host only, such as https://minio.example.org:9000", "is not an address of a service")
	}
	c.Write = writeOf(m, env)
	wire, from, err := connection(m, env)
	if err != nil || len(m.r.problems) > before {
		return engine.Destination{}, err
	}
	c.HTTP, c.Credentials = wire, creds.NewProvider(from.keys)
	c.Region = cmp.Or(c.Region, from.region, env("AWS_REGION"), env("AWS_DEFAULT_REGION"))
	var to transport.Destination
	if to, err = s3.New(c); err != nil {
		m.tell(err)
		return engine.Destination{}, err
	}
	return over(wire, to), nil
}

// connection reads how a service of AWS, or one like it, is reached, and what
// signs the requests to it.
func connection(m *mapping, env func(string) string) (*link.Transport, account, error) {
	before := len(m.r.problems)
	use := link.Config{
		CAFile:   m.file("ca_file", env, openToAll),
		CertFile: m.file("cert_file", env, openToAll),
		KeyFile:  m.file("key_file", env, private),
		Proxy:    proxyOf(m),
	}
	own := m.rate("rate")
	from := accountOf(m, env, use.Proxy)
	if len(m.r.problems) > before {
		return nil, from, nil
	}
	wire, err := m.r.wires.open(use, own)
	return wire, from, err
}

// proxyOf reads what requests go through. Its problem repeats nothing, for the
// value may hold a password.
func proxyOf(m *mapping) link.Proxy {
	const key = "proxy"
	proxy, err := link.ParseProxy(m.text(key))
	if err != nil {
		m.problem(key, "", "%v", err)
	}
	return proxy
}
