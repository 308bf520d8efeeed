#!/usr/bin/env bash
# Builds Dray's static, stripped binaries into dist/, with SHA256SUMS.
#
#   bash build/build.sh                 all targets
#   bash build/build.sh armv7 amd64     some of them
#
# VERSION=… stamps that version instead of what git says; DIST=… builds into
# another folder. The same source, version and toolchain give the same bytes,
# wherever the checkout lies.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

all=(armv6 armv7 arm64 riscv64 mipsle amd64)
targets=("${@:-${all[@]}}")
dist=${DIST:-dist}
version=${VERSION:-$(git describe --always --dirty --tags 2>/dev/null || echo dev)}

# Two things keep the binary small (KiB of armv7): no HTTP/2, which no S3 server
# speaks (512), and inlining only where bytes pass or the scheduler runs (1200).
flags=(-trimpath -buildvcs=false -tags nethttpomithttp2 -gcflags=all=-l)
for hot in runtime internal/{runtime/...,abi,bytealg,byteorder,poll,sync} bufio bytes io sync/... encoding/binary \
	hash/... crypto/{md5,sha256} crypto/internal/{fips140deps/...,fips140/{alias,subtle,aes/...,sha256,sha512}} \
	github.com/seed-7270d448/dray/{wal,hal,transport,transport/link}; do
	flags+=("-gcflags=$hot=")
done

# The environment of each target, as arguments for env.
settings() {
	case $1 in
	armv6) echo GOARCH=arm GOARM=6 ;;
	armv7) echo GOARCH=arm GOARM=7 ;;
	arm64) echo GOARCH=arm64 ;;
	riscv64) echo GOARCH=riscv64 ;;
	mipsle) echo GOARCH=mipsle GOMIPS=softfloat ;;
	amd64) echo GOARCH=amd64 ;;
	*)
		echo "build.sh: unknown target $1; known are: ${all[*]}" >&2
		return 2
		;;
	esac
}

for t in "${targets[@]}"; do settings "$t" >/dev/null; done
mkdir -p "$dist"
for t in "${targets[@]}"; do
	out=$dist/dray-linux-$t
	read -ra env <<<"$(settings "$t")"
	ld="-s -w -buildid= -X main.version=$version"
	[[ $t != armv* ]] || ld+=' -R 4096' # the linker pads for pages of 64 KiB, which these CPUs do not have
	env "${env[@]}" GOOS=linux CGO_ENABLED=0 go build "${flags[@]}" -ldflags "$ld" -o "$out" ./cmd/dray
	printf '%-28s %8d KiB  %s\n' "$out" $(($(stat -c %s "$out") / 1024)) "$version"
done
(cd "$dist" && sha256sum dray-linux-* >SHA256SUMS)
