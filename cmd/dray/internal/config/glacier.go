package config

import (
	"cmp"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport/creds"
	"github.com/seed-7270d448/dray/transport/glacier"
)

// glacierDestination reads a vault, and warns whoever is late to choose one.
func glacierDestination(m *mapping, env func(string) string) (engine.Destination, error) {
	before := len(m.r.problems)
	c := glacier.Config{
		Vault:    m.need("vault", "name the vault"),
		Account:  m.text("account"),
		Region:   m.text("region"),
		Endpoint: m.text("endpoint"),
		FIPS:     m.yes("fips"),
		PartSize: m.size("part_size"),
		InDoubt:  glacier.InDoubt(m.word("in_doubt", string(glacier.Keep), string(glacier.Resend))),
	}
	m.r.warn(m.path, m.at, glacier.NoNewCustomers)
	wire, from, err := connection(m, env)
	if err != nil || len(m.r.problems) > before {
		return engine.Destination{}, err
	}
	c.HTTP, c.Credentials = wire, creds.NewProvider(from.keys)
	c.Region = cmp.Or(c.Region, from.region, env("AWS_REGION"), env("AWS_DEFAULT_REGION"))
	to, err := glacier.New(c)
	if err != nil {
		m.tell(err)
		return engine.Destination{}, err
	}
	return over(wire, to), nil
}
