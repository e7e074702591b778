# shellcheck shell=bash
# Images made by tar alone: archives as `docker save` writes them, which every engine and containerd read.

# image_layer FILE FOLDER [OWNER]: the folder's content, and not the folder; the same bytes for the same files.
image_layer() {
  (cd "$2" && find . -mindepth 1 -maxdepth 1 -printf '%P\0') | LC_ALL=C sort --zero-terminated |
    tar --create --file "$1" --directory "$2" --sort=name --mtime=@0 --numeric-owner \
      --owner="${3:-0}" --group="${3:-0}" --null --files-from=-
}

# image_archive FILE NAME CONFIG LAYER…: CONFIG is the image's own part of its description, as JSON.
image_archive() {
  local file=$1 name=$2 config=$3 folder layer layers=() digests=()
  shift 3
  folder=$(mktemp --directory)
  for layer in "$@"; do
    digests+=("sha256:$(sha256sum "$layer" | cut -d' ' -f1)")
    layers+=("${digests[-1]#sha256:}.tar")
    ln "$layer" "$folder/${layers[-1]}" 2>/dev/null || cp "$layer" "$folder/${layers[-1]}"
  done
  jq --null-input --compact-output --arg architecture "$(image_architecture)" --argjson config "$config" \
    '{architecture: $architecture, os: "linux", config: $config, rootfs: {type: "layers", diff_ids: $ARGS.positional}}' \
    --args "${digests[@]}" >"$folder/config.json"
  jq --null-input --compact-output --arg name "$name" \
    '[{Config: "config.json", RepoTags: [$name], Layers: $ARGS.positional}]' --args "${layers[@]}" >"$folder/manifest.json"
  tar --create --file "$file.part" --directory "$folder" manifest.json config.json "${layers[@]}"
  mv "$file.part" "$file"
  rm -rf "$folder"
}

# This machine's, as images name it.
image_architecture() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) uname -m ;;
  esac
}
