@ONE_LEADER@
recipient=$(cat <<'END_OF_VALUE'
{{ recipient }}
END_OF_VALUE
)
if [ -n "$recipient" ]; then
    set -- --recipient "$recipient"
fi
bundle=$("$program" node bundle --cluster-id "$cluster" --run "$run" --print-bundle --quiet "$@")
printf '%s\n' "$bundle"
# The agent keeps only the ends of what is too long, and nobody would see that.
printf 'etcdprefix-bundle bytes=%s sha256=%s\n' "$(printf '%s\n' "$bundle" | wc -c)" \
    "$(printf '%s\n' "$bundle" | sha256sum | cut -d ' ' -f 1)"
