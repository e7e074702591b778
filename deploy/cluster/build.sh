#!/usr/bin/env bash
# Compiles Kubernetes' own programs, once for each version of tools/go.sum: 8 minutes on 2 cores.
. "$(dirname "$0")/lib.sh"
need go golang
cd "$here/tools"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
version=${version#v}
stamp=k8s.io/component-base/version
minor=${version#*.}
flags="-s -w -X $stamp.gitVersion=v$version -X $stamp.gitMajor=${version%%.*} -X $stamp.gitMinor=${minor%%.*}"
mkdir -p "$bin"
export CGO_ENABLED=0
for name in kube-apiserver kube-controller-manager kube-scheduler kubelet; do
    [ -x "$bin/$name" ] && continue
    say "compiling $name $version"
    go build -trimpath -ldflags "$flags" -o "$bin/$name.part" "k8s.io/kubernetes/cmd/$name"
    mv "$bin/$name.part" "$bin/$name"
done
if [ ! -x "$bin/pause" ]; then
    go build -trimpath -ldflags "-s -w" -o "$bin/pause.part" ./pause
    mv "$bin/pause.part" "$bin/pause"
fi
