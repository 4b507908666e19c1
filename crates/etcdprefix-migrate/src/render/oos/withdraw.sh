never_started=$(cat <<'END_OF_VALUE'
{{ managedSideNeverStarted }}
END_OF_VALUE
)
if [ "$never_started" = yes ]; then
    set --
else
    set -- --unless-handed-out
fi
"$program" node unpublish --quiet --cluster-id "$cluster" --any-run --print-proof "$instance" "$@"
