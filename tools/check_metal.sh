#!/usr/bin/env bash
# Type-checks and lints the Metal device on a machine without Metal: every Rust line of it, and not one instruction is run.
#
# objc2's crates of frameworks link them by an attribute that only Apple's targets accept. Copies with that attribute taken off stand
# in for them, in a shadow of this workspace below the target folder; objc2 is told to expect GNUstep's runtime (`metal_check`).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/metal-check"
work=$(cd "$target/metal-check" && pwd)

# The lock file decides the version; a machine that has fetched it once needs no network.
where() { cargo metadata --locked --offline --format-version 1 2>/dev/null; }
metadata=$(where) || { cargo fetch --locked && metadata=$(where); }
patches=
for name in objc2-metal objc2-metal-performance-shaders; do
  crate=$(printf '%s' "$metadata" | grep -o "\"manifest_path\":\"[^\"]*/$name-[0-9.]*/Cargo.toml\"" | cut -d'"' -f4 | xargs dirname)
  copy=$work/$(basename "$crate")
  if [ ! -d "$copy" ]; then
    cp -R "$crate" "$copy.$$"
    grep -rl 'kind = "framework"' "$copy.$$/src" | xargs sed -i.bak -E 's/^#\[link\(name = "[A-Za-z]+", kind = "framework"\)\]$//'
    mv "$copy.$$" "$copy"
  fi
  patches="$patches$name = { path = \"$copy\" }
"
done

mkdir -p "$work/shadow"
for entry in crates kernels; do ln -sfn "$root/$entry" "$work/shadow/$entry"; done
cp Cargo.lock "$work/shadow/Cargo.lock"
{ cat Cargo.toml; printf '\n[patch.crates-io]\n%s' "$patches"; } > "$work/shadow/Cargo.toml.$$"
mv "$work/shadow/Cargo.toml.$$" "$work/shadow/Cargo.toml"

export RUSTFLAGS="--cfg metal_check" CARGO_TARGET_DIR=$work/target
cd "$work/shadow"
cargo clippy --offline --quiet -p metallic-device "$@" -- -D warnings
echo "check_metal: the Metal device type-checks and lints clean; it was not run"
