# However a list is written in a text: exactly one instance leads.
leaders=$(grep -oE '(^|[^0-9A-Za-z-])i-[0-9A-Za-z]+' <<'END_OF_VALUE' | grep -o 'i-[0-9A-Za-z]*$' || true
{{ findLeader.commandOutputs }}
END_OF_VALUE
)
if [ "$(printf '%s' "$leaders" | grep -c .)" != 1 ]; then
    echo "not one instance leads etcd, but: $leaders" >&2
    exit 1
fi
