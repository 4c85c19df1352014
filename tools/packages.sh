# Debian packages by name, for tools/run and tools/test; to be sourced. Nothing is installed before it is said.

# What a build takes.
build_packages=(gcc libc6-dev cmake ninja-build pkg-config liblmdb-dev libevent-dev libmsgpack-dev libjansson-dev
    zlib1g-dev libssl-dev libxxhash-dev)

# Prints those of the named packages that are not installed.
missing_packages() {
    local name
    for name; do
        dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed$' || echo "$name"
    done
}

# Installs what is missing of the named packages. Exits 69 with the command to run when it may not.
need_packages() {
    local missing install=(apt-get install -y --no-install-recommends)
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "$me: this is not Debian; needed are the equivalents of: $*" >&2
        return 0
    fi
    mapfile -t missing < <(missing_packages "$@")
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "$me: these Debian packages are missing: ${missing[*]}" >&2
        echo "$me: run this, then $me again:" >&2
        echo "    sudo sh -c 'apt-get update && ${install[*]} ${missing[*]}'" >&2
        exit 69
    fi
    echo "$me: installing Debian packages: ${missing[*]}" >&2
    # RUNLEVEL=1 keeps packages that bring a service from starting it; nobody is asked anything.
    if ! { DEBIAN_FRONTEND=noninteractive apt-get update -q &&
        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive "${install[@]}" -q "${missing[@]}"; } </dev/null >&2; then
        echo "$me: the packages could not be installed (see above)" >&2
        exit 69
    fi
}
