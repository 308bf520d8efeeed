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
func (v Variant) check(endpoint string) error {
	if endpoint != "" && v.DualStack {
		return &ConfigError{"dual_stack", "goes only with Amazon's own endpoints", "leave out endpoint or dual_stack"}
	}
	if endpoint != "" && v.FIPS {
		return &ConfigError{"fips", "goes only with Amazon's own endpoints", "leave out endpoint or fips"}
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
