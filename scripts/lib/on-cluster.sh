# shellcheck shell=bash
# shellcheck disable=SC2034 # others read what is set here
# The demo's builds as Jobs, with the manifests of deploy/kubernetes; the service itself runs on this machine, under the
# ServiceAccount's token. The same functions as in on-engine.sh.

PLACE="as Jobs of a cluster"
# What this demo's Jobs are labelled with, so that no other ones are touched.
INSTANCE=demo-$(printf '%s' "$STATE" | sha256sum | cut -c1-8)
MADE=()

admin() { kubectl --kubeconfig "$SLIPWAY_TEST_KUBECONFIG" "$@" 9>&-; }
builds() { admin --namespace slipway-builds "$@"; }

place_prepare() {
  need skopeo=skopeo
  cluster_ensure
  ADDRESS=$SLIPWAY_TEST_HOST
  # Whose installation it is, nobody knows.
  [[ -z "$(admin --namespace slipway get deployment slipway --ignore-not-found --output name)" ]] ||
    fail "Slipway is installed in this cluster: the demo leaves it alone"
  apply_manifests
  place_clear
  info "the manifests of deploy/kubernetes are applied: namespaces, rights, network, quota"
}

# All but the service itself, and what a registry on a private address needs.
apply_manifests() {
  local file
  for file in slipway slipway-builds; do
    [[ -n "$(admin get namespace "$file" --ignore-not-found --output name)" ]] || MADE+=("$file")
  done
  for file in namespaces rbac network limits; do
    shown "kubectl apply -f deploy/kubernetes/$file.yaml"
    admin apply --filename "deploy/kubernetes/$file.yaml" >/dev/null
  done
  builds apply --filename - >/dev/null <<YAML
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: demo}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: [{to: [{ipBlock: {cidr: $ADDRESS/32}}]}]
YAML
}

place_executor() {
  EXECUTOR=$SLIPWAY_TEST_EXECUTOR_IMAGE
  # The stand-in unpacks into a folder and runs there; kaniko needs no such right.
  [[ "$EXECUTOR" != *standin* ]] || export SLIPWAY_CAPABILITIES=SYS_CHROOT
}

place_settings() {
  service_kubeconfig
  export KUBECONFIG=$STATE/kubeconfig SLIPWAY_LAUNCHER=kubernetes SLIPWAY_NAMESPACE=slipway-builds \
    SLIPWAY_SERVICE_ACCOUNT=slipway-build SLIPWAY_FETCHER_IMAGE=$SLIPWAY_TEST_FETCHER_IMAGE \
    SLIPWAY_IMAGE_PULL_POLICY=IfNotPresent SLIPWAY_JOB_LABELS=slipway.dev/instance=$INSTANCE
}

# The administrator's, but for the user.
service_kubeconfig() (
  umask 077
  admin --namespace slipway create token slipway --duration 24h >"$STATE/token"
  admin config view --raw --minify --flatten --output json |
    jq --arg file "$STATE/token" '.users = [{name: "slipway", user: {tokenFile: $file}}] | .contexts[0].context.user = "slipway"' \
      >"$STATE/kubeconfig"
)

push_base() {
  local archive=$STATE/base.tar
  info "looking for busybox on Docker Hub (for at most 30 s)"
  if copy_image docker://docker.io/library/busybox:stable "docker://$1" --command-timeout 30s 2>/dev/null; then
    ORIGIN="Docker Hub"
    return
  fi
  need busybox=busybox-static
  busybox_root >"$STATE/base-layer.tar"
  image_archive "$archive" base:latest '{}' "$STATE/base-layer.tar"
  copy_image "docker-archive:$archive" "docker://$1"
  rm -f "$archive" "$STATE/base-layer.tar"
  ORIGIN="Debian's busybox-static, since Docker Hub is out of reach"
}

# copy_image FROM TO [OPTION…]: this machine's registry speaks plain HTTP.
copy_image() { skopeo --insecure-policy "${@:3}" copy --quiet --src-tls-verify=false --dest-tls-verify=false "$1" "$2" 9>&-; }

# The nodes need not trust our registry: the image is brought to them.
run_image() {
  local archive=$STATE/run.tar name=slipway-demo/hello:1
  rm -f "$archive"
  copy_image "docker://$1" "docker-archive:$archive:$name"
  bash deploy/cluster/load.sh --archive "$archive" "$name" >/dev/null 9>&-
  rm -f "$archive"
  builds apply --filename - >/dev/null <<YAML
apiVersion: batch/v1
kind: Job
metadata: {name: demo-hello}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: hello, image: "$name", imagePullPolicy: Never}]
YAML
  builds wait --for=condition=Complete job/demo-hello --timeout=60s >/dev/null
  builds logs job/demo-hello
  builds delete job demo-hello >/dev/null
}

running_of() { builds get pods --selector "slipway.dev/build-id=$1" --output name; }

place_closing_words() {
  info "the Jobs, until ten minutes after their end:"
  shown "kubectl --namespace slipway-builds get jobs"
  builds get jobs | quoted
}

place_clear() {
  [[ -n "${SLIPWAY_TEST_KUBECONFIG:-}" ]] || return 0
  builds delete jobs --selector "slipway.dev/instance=$INSTANCE" --ignore-not-found --wait=false >/dev/null 2>&1 || true
}

# The cluster is left as it was found.
place_release() {
  if [[ -z "${CLUSTER_STARTED:-}" ]] && ((${#MADE[@]})); then
    admin delete namespace "${MADE[@]}" --ignore-not-found --timeout=60s >/dev/null || true
  fi
  cluster_release
}
