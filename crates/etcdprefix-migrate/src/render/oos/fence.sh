@ONE_LEADER@
snapshots=$(grep -o 'the snapshot is from i-[0-9A-Za-z]*' <<'END_OF_VALUE' || true
{{ etcdCheckout.commandOutputs }}
END_OF_VALUE
)
if [ "$snapshots" != "the snapshot is from $leaders" ]; then
    echo "not one snapshot was made, by $leaders, but: $snapshots" >&2
    exit 1
fi
hosts=$(grep -oE '(^|[^0-9A-Za-z-])i-[0-9A-Za-z]+' <<'END_OF_VALUE' | grep -c . || true
{{ getInstance.instanceIds }}
END_OF_VALUE
)
set -- --hosts "$hosts"
if [ "$leaders" != "$instance" ]; then
    set -- "$@" --made-on "$leaders"
fi
"$program" node fence --cluster-id "$cluster" --run "$run" "$@"
