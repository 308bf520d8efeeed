package s3

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Variant chooses among Amazon's own endpoints of a region.
type Variant struct {
	DualStack bool // one with IPv6 addresses too
	FIPS      bool // one whose cryptography is validated by FIPS 140
}

// check refuses what no endpoint has. What a region has only Amazon knows.
func (v Variant) check(c *Config) error {
	switch {
	case c.Endpoint != "" && v.DualStack:
		return &ConfigError{"dual_stack", "goes only with Amazon's own endpoints", "leave out endpoint or dual_stack"}
	case c.Endpoint != "" && v.FIPS:
		return &ConfigError{"fips", "goes only with Amazon's own endpoints", "leave out endpoint or fips"}
	case c.directory() && v.DualStack:
		return &ConfigError{"dual_stack", "is not supported by directory buckets", "leave it out"}
	}
	return nil
}

func (v Variant) apply(o *s3.Options) {
	if v.DualStack {
		o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
	}
	if v.FIPS {
		o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
}
