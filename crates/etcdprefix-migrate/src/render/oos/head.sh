#!/bin/sh
set -eu
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=${HOME:-/root}
export PATH HOME
# Values stand in quoted here-documents: the shell reads nothing in them.
cluster=$(cat <<'END_OF_VALUE'
{{ ClusterID }}
END_OF_VALUE
)
run=$(cat <<'END_OF_VALUE'
oos-{{ ACS::ExecutionId }}
END_OF_VALUE
)
instance=$(cat <<'END_OF_VALUE'
{{ ACS::TaskLoopItem }}
END_OF_VALUE
)
url=$(cat <<'END_OF_VALUE'
{{ binaryURL }}
END_OF_VALUE
)
sha256=$(cat <<'END_OF_VALUE'
{{ binarySHA256 }}
END_OF_VALUE
)
folder=/var/lib/etcdprefix/bin
program=$folder/etcdprefix-oos
is_ours() {
    [ -f "$1" ] && [ "$(sha256sum < "$1" | cut -d ' ' -f 1)" = "$sha256" ]
}
if ! is_ours "$program"; then
    mkdir -p "$folder"
    # Those of commands that were killed; nobody is at it for so long.
    find "$folder" -name '.fetched.*' -mmin +15 -delete
    fresh=$(mktemp "$folder/.fetched.XXXXXXXX")
    trap 'rm -f "$fresh"' EXIT
    fetch() {
        if command -v curl > /dev/null 2>&1; then
            curl -fsSL --retry 5 --retry-max-time 100 --connect-timeout 20 --max-time 200 -o "$fresh" -- "$url"
        else
            wget -nv -t 5 -T 20 -O "$fresh" -- "$url"
        fi
    }
    # What it says if it succeeds is no task's output.
    if ! said=$(fetch 2>&1); then
        printf '%s\n' "$said" >&2
        exit 1
    fi
    if ! is_ours "$fresh"; then
        echo 'what binaryURL leads to has another SHA-256 than binarySHA256' >&2
        exit 1
    fi
    chmod 0700 "$fresh"
    mv -f "$fresh" "$program"
fi
