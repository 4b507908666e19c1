# Where the task before did not get to; the wake looks at what came of it.
"$program" node unpublish --quiet --cluster-id "$cluster" --run "$run" || true
set -- --run "$run"
# Of the host that made the snapshot: nobody has a URL.
proofs=$(grep -o 'i-[0-9A-Za-z]*/[0-9A-Za-z._-]*' <<'END_OF_VALUE' || true
{{ unpublish.commandOutputs }}
END_OF_VALUE
)
for proof in $proofs; do
    set -- "$@" --proof "$proof"
done
"$program" node wake --cluster-id "$cluster" --not-handed-out "$@"
